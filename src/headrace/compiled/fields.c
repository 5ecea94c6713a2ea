#include "fields.h"

int shape_of(Shape *shape, PyObject *type, const char *const *names)
{
    if (!PyType_Check(type)) {
        PyErr_SetString(PyExc_TypeError, "a class is needed");
        return -1;
    }
    for (int i = 0; names[i] != NULL; i++) {
        PyObject *found = PyObject_GetAttrString(type, names[i]);
        if (found == NULL)
            return -1;
        PyMemberDef *member = NULL;
        if (Py_IS_TYPE(found, &PyMemberDescr_Type))
            member = ((PyMemberDescrObject *)found)->d_member;
        bool plain = member != NULL && member->type == T_OBJECT_EX;
        if (plain)
            shape->at[i] = member->offset;
        Py_DECREF(found);
        if (!plain) {
            PyErr_Format(PyExc_TypeError, "%R has no plain field %s", type, names[i]);
            return -1;
        }
    }
    shape->type = (PyTypeObject *)Py_NewRef(type);
    return 0;
}

bool put_int(const Shape *shape, PyObject *state, int which, int64_t value)
{
    PyObject *object = PyLong_FromLongLong(value);
    if (object == NULL)
        return false;
    set_field(shape, state, which, object);
    return true;
}

bool put_double(const Shape *shape, PyObject *state, int which, double value)
{
    PyObject *object = PyFloat_FromDouble(value);
    if (object == NULL)
        return false;
    set_field(shape, state, which, object);
    return true;
}
