/* The module `_steps`: one class, which is told where everything is. */

#include "steps.h"

bool counted(Py_ssize_t count, Py_ssize_t wanted)
{
    if (count == wanted)
        return true;
    PyErr_Format(PyExc_TypeError, "%zd arguments are needed, not %zd", wanted, count);
    return false;
}

/* In the order of the enums of `steps.h`. */
typedef struct {
    const char *class;
    size_t shape;
    const char *names[MOST_FIELDS];
} Known;

#define AT(shape) offsetof(Steps, shape)

static const Known KNOWN[] = {
    {"Call", AT(call),
     {"id", "dialect", "operation", "model", "body", "stream", "caller", "received_at",
      "max_tokens", "max_completion_tokens", "n", "tokens_before", "hold", "reserved", "cut",
      "passed", "standing"}},
    {"Caller", AT(caller), {"key_id", "user", "team", "tenant", "tags"}},
    {"Progress", AT(progress),
     {"status", "finish", "target", "attempts", "first_content_at", "usage", "cost_microusd",
      "priced", "number", "answered_by", "saved_microusd", "cache_tier", "reason",
      "sent_upstream", "beside"}},
    {"Target", AT(target), {"name", "service", "region", "model"}},
    {"Usage", AT(usage),
     {"input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "audio_input_tokens",
      "audio_output_tokens", "source", "cache_write_tokens", "units"}},
    {"Reserved", AT(reserved), {"input_tokens", "output_tokens", "cost_microusd"}},
    {"Terms", AT(terms), {"sellers", "line", "until", "twice"}},
    {"SellersOf", AT(sellers), {"longest_answer"}},
    {"Line", AT(line), {"per_request", "input", "output", "scale"}},
    {"FlatRates", AT(flat),
     {"per_request", "input", "output", "cached", "reasoning_more", "scale"}},
    {"Rate", AT(rate), {"quota", "step_s", "burst_s"}},
    {"AtOnce", AT(at_once), {"most"}},
    {"Budget", AT(budget), {"unit", "cap", "soft"}},
    {"RateState", AT(rate_state), {"arrival", "returned"}},
    {"AtOnceState", AT(at_once_state), {"running"}},
    {"BudgetState", AT(budget_state), {"slot", "spent", "reserved", "ends_at"}},
    {"BudgetFile", AT(budget_file), {"_map"}},
    {"Lines", AT(lines), {"pieces"}},
    {"Journal", AT(journal), {"_window", "_at", "_made", "next_seq"}},
};

/* What is used of the classes themselves, and one object. */
static const struct {
    const char *name;
    size_t at;
} OTHERS[] = {
    {"Need", AT(make_need)},
    {"Settlement", AT(make_settlement)},
    {"Taken", AT(make_taken)},
    {"NO_MEMBER", AT(no_member)},
};

static const struct {
    const char *text;
    size_t at;
} TEXTS[] = {
    {"provider", AT(provider)},
    {"priced_as", AT(priced_as)},
    {"_value_", AT(value)},
    {"upstream", AT(upstream)},
    {"nobody", AT(nobody)},
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define PLACE(self, at) ((void *)((char *)(self) + (at)))

static PyObject *named(PyObject *classes, const char *name)
{
    PyObject *found = PyDict_GetItemString(classes, name);
    if (found == NULL)
        PyErr_Format(PyExc_TypeError, "%s is needed", name);
    return found;
}

static int learn(Steps *self, PyObject *classes)
{
    for (size_t i = 0; i < COUNT(KNOWN); i++) {
        PyObject *found = named(classes, KNOWN[i].class);
        if (found == NULL || shape_of(PLACE(self, KNOWN[i].shape), found, KNOWN[i].names) < 0)
            return -1;
    }
    for (size_t i = 0; i < COUNT(OTHERS); i++) {
        PyObject *found = named(classes, OTHERS[i].name);
        if (found == NULL)
            return -1;
        *(PyObject **)PLACE(self, OTHERS[i].at) = Py_NewRef(found);
    }
    for (size_t i = 0; i < COUNT(TEXTS); i++) {
        PyObject *text = PyUnicode_InternFromString(TEXTS[i].text);
        if (text == NULL)
            return -1;
        *(PyObject **)PLACE(self, TEXTS[i].at) = text;
    }
    self->zero = PyLong_FromLong(0);
    return self->zero == NULL ? -1 : 0;
}

static PyObject *steps_new(PyTypeObject *type, PyObject *args, PyObject *classes)
{
    if (PyTuple_GET_SIZE(args) != 0 || classes == NULL) {
        PyErr_SetString(PyExc_TypeError, "classes are given by their names");
        return NULL;
    }
    Steps *self = (Steps *)type->tp_alloc(type, 0);
    if (self != NULL && learn(self, classes) < 0)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static void steps_dealloc(Steps *self)
{
    for (size_t i = 0; i < COUNT(KNOWN); i++)
        Py_XDECREF(((Shape *)PLACE(self, KNOWN[i].shape))->type);
    for (size_t i = 0; i < COUNT(OTHERS); i++)
        Py_XDECREF(*(PyObject **)PLACE(self, OTHERS[i].at));
    for (size_t i = 0; i < COUNT(TEXTS); i++)
        Py_XDECREF(*(PyObject **)PLACE(self, TEXTS[i].at));
    Py_XDECREF(self->zero);
    Py_TYPE(self)->tp_free(self);
}

#define STEP(name) {#name, (PyCFunction)(void (*)(void))steps_##name, METH_FASTCALL, NULL}

static PyMethodDef steps_methods[] = {
    STEP(admit), STEP(price), STEP(intend), STEP(settle), {NULL, NULL, 0, NULL},
};

static PyTypeObject StepsType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "headrace.compiled._steps.Steps",
    .tp_doc = "Steps of a call; see `_steps.pyi`.",
    .tp_basicsize = sizeof(Steps),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = steps_new,
    .tp_dealloc = (destructor)steps_dealloc,
    .tp_methods = steps_methods,
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "headrace.compiled._steps",
    .m_doc = "Steps of a call, for calls that need nothing unusual.",
    .m_size = -1,
};

PyMODINIT_FUNC PyInit__steps(void)
{
    if (PyType_Ready(&HeldType) < 0)
        return NULL;
    PyObject *module = PyModule_Create(&definition);
    if (module != NULL
        && (PyModule_AddType(module, &StepsType) < 0
            || PyModule_AddStringConstant(module, "SOURCES", SOURCES) < 0))
        Py_CLEAR(module);
    return module;
}
