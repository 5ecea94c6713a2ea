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

void put_headed_int(Text *text, const char *head, size_t head_size, PyObject *value)
{
    int64_t number;
    if (!read_int(value, &number)) {
        text->fits = false;
        return;
    }
    put(text, head, (Py_ssize_t)head_size);
    put_number(text, number);
}

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Whether one of eight ASCII bytes is less than `byte`, which is at most 0x80. */
static inline uint64_t has_less(uint64_t bytes, uint64_t byte)
{
    return (bytes - EACH(byte)) & ~bytes & EACH(0x80);
}

/* Of ASCII: nothing that JSON escapes; eight at a time (Mycroft, "Determine if a word has a zero
 * byte", 1987). */
static bool is_plain(const char *bytes, Py_ssize_t size)
{
    uint64_t odd = 0;
    for (Py_ssize_t at = 0; at < size; at += 8) {
        uint64_t eight = EACH('x');
        memcpy(&eight, bytes + at, size - at < 8 ? (size_t)(size - at) : 8);
        odd |= has_less(eight, 0x20) | has_less(eight ^ EACH('"'), 1)
            | has_less(eight ^ EACH('\\'), 1) | has_less(eight ^ EACH(0x7f), 1);
    }
    return odd == 0;
}

void put_headed_text(Text *text, const char *head, size_t head_size, PyObject *value)
{
    if (value == NULL || !PyUnicode_Check(value) || !PyUnicode_IS_COMPACT_ASCII(value)) {
        text->fits = false;
        return;
    }
    const char *bytes = PyUnicode_DATA(value);
    Py_ssize_t size = PyUnicode_GET_LENGTH(value);
    if (!is_plain(bytes, size))
        text->fits = false;
    put(text, head, (Py_ssize_t)head_size);
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
    return up <= MOST_MODERATE;
}
