#include "text.h"

void put_number(Text *text, int64_t number)
{
    char digits[24];
    int at = sizeof digits;
    uint64_t left = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    do {
        digits[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left);
    if (number < 0)
        digits[--at] = '-';
    put(text, digits + at, (Py_ssize_t)sizeof digits - at);
}

void put_bytes(Text *text, PyObject *bytes)
{
    if (PyBytes_CheckExact(bytes))
        put(text, PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes));
    else
        text->fits = false;
}

void put_int_member(Text *text, const char *head, PyObject *value)
{
    int64_t number;
    if (!read_int(value, &number)) {
        text->fits = false;
        return;
    }
    put(text, head, (Py_ssize_t)strlen(head));
    put_number(text, number);
}

static bool is_plain(const unsigned char *bytes, Py_ssize_t size)
{
    bool plain = true;
    for (Py_ssize_t i = 0; i < size; i++)
        plain &= bytes[i] >= 0x20 && bytes[i] < 0x7f && bytes[i] != '"' && bytes[i] != '\\';
    return plain;
}

void put_text_member(Text *text, const char *head, PyObject *value)
{
    if (value == NULL || !PyUnicode_Check(value) || PyUnicode_READY(value) < 0
        || !PyUnicode_IS_COMPACT_ASCII(value)) {
        text->fits = false;
        return;
    }
    const char *bytes = PyUnicode_DATA(value);
    Py_ssize_t size = PyUnicode_GET_LENGTH(value);
    if (!is_plain((const unsigned char *)bytes, size))
        text->fits = false;
    put(text, head, (Py_ssize_t)strlen(head));
    PUT(text, "\"");
    put(text, bytes, size);
    PUT(text, "\"");
}

PyObject *bytes_of(const Text *text)
{
    return PyBytes_FromStringAndSize(text->bytes, text->size);
}

bool is_text(PyObject *object, const char *text)
{
    return object != NULL && PyUnicode_Check(object)
        && PyUnicode_CompareWithASCIIString(object, text) == 0;
}

PyObject *made_of(PyObject *type, PyObject **given, Py_ssize_t count)
{
    bool whole = true;
    for (Py_ssize_t i = 0; i < count; i++)
        whole = whole && given[i] != NULL;
    PyObject *made = whole ? PyObject_Vectorcall(type, given, (size_t)count, NULL) : NULL;
    for (Py_ssize_t i = 0; i < count; i++)
        Py_XDECREF(given[i]);
    return made;
}

bool rounded_up(__int128 total, int64_t scale, int64_t *result)
{
    if (total < 0)
        return false;
    __int128 up = (total + scale - 1) / scale;
    *result = (int64_t)up;
    return up <= INT64_C(1000000000000000);
}
