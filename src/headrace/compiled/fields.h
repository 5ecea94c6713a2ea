/* Where the fields of Python's objects are, and how they are read.
 *
 * Fields of msgspec's structs and of classes with `__slots__` lie at fixed places within their
 * objects, which their member descriptors tell. They are looked up once; what is not as expected
 * is an error then, and never a wrong read later.
 */
#ifndef HEADRACE_FIELDS_H
#define HEADRACE_FIELDS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem */
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef Py_GIL_DISABLED
#error "Steps change what they find, and count on the interpreter's lock."
#endif
#if PY_LITTLE_ENDIAN != 1
#error "The file of budgets is written as it lies in memory, which has to be little-endian."
#endif

#define MOST_FIELDS 24

/* One class, and the places of those of its fields that are read here, in the order of an enum. */
typedef struct {
    PyTypeObject *type;
    Py_ssize_t at[MOST_FIELDS];
} Shape;

/* Finds `names`, NULL at their end, in a class; -1 and an error if one is not there. */
int shape_of(Shape *shape, PyObject *type, const char *const *names);

/* A field, borrowed; NULL if it was never set. */
static inline PyObject *field(const Shape *shape, PyObject *object, int which)
{
    return *(PyObject **)((char *)object + shape->at[which]);
}

/* Puts a value that is the caller's to give away into a field. */
static inline void set_field(const Shape *shape, PyObject *object, int which, PyObject *value)
{
    PyObject **place = (PyObject **)((char *)object + shape->at[which]);
    PyObject *before = *place;
    *place = value;
    Py_XDECREF(before);
}

static inline bool is_a(const Shape *shape, PyObject *object)
{
    return object != NULL && Py_TYPE(object) == shape->type;
}

/* False, without an error, for what is no int of 63 bits. */
static inline bool read_int(PyObject *object, int64_t *value)
{
    int overflow;
    if (object == NULL || !PyLong_Check(object))
        return false;
    *value = PyLong_AsLongLongAndOverflow(object, &overflow);
    return overflow == 0 && *value != INT64_MIN;
}

/* The same of what is no float. */
static inline bool read_double(PyObject *object, double *value)
{
    if (object == NULL || !PyFloat_CheckExact(object))
        return false;
    *value = PyFloat_AS_DOUBLE(object);
    return true;
}

static inline bool int_of(const Shape *shape, PyObject *object, int which, int64_t *value)
{
    return read_int(field(shape, object, which), value);
}

static inline bool double_of(const Shape *shape, PyObject *object, int which, double *value)
{
    return read_double(field(shape, object, which), value);
}

/* Numbers of tokens and micro-dollars with which sums stay far within 63 bits, and every product
 * with a rate is the float that Python makes of it. What is more is left to Python. */
#define MOST_MODERATE INT64_C(1000000000000000)

static inline bool is_moderate(int64_t count)
{
    return count <= MOST_MODERATE && count >= -MOST_MODERATE;
}

/* Puts a number into a field; false and an error for want of memory. */
bool put_int(const Shape *shape, PyObject *object, int which, int64_t value);
bool put_double(const Shape *shape, PyObject *object, int which, double value);

#endif
