/* Texts that are put together in one buffer, and JSON of them. */
#ifndef HEADRACE_TEXT_H
#define HEADRACE_TEXT_H

#include "fields.h"

#include <string.h>

#define TEXT_BYTES 4096

typedef struct {
    Py_ssize_t size;
    bool fits; /* all that was put is there, and nothing in it needs another form */
    char bytes[TEXT_BYTES];
} Text;

static inline void begin(Text *text)
{
    text->size = 0;
    text->fits = true;
}

static inline void put(Text *text, const char *bytes, Py_ssize_t size)
{
    if (size > TEXT_BYTES - text->size) {
        text->fits = false;
        return;
    }
    memcpy(text->bytes + text->size, bytes, (size_t)size);
    text->size += size;
}

#define PUT(text, literal) put(text, literal, sizeof(literal) - 1)

void put_number(Text *text, int64_t number);

/* A `bytes` object; does not fit if it is none. */
void put_bytes(Text *text, PyObject *bytes);

void put_headed_int(Text *text, const char *head, size_t head_size, PyObject *value);
void put_headed_text(Text *text, const char *head, size_t head_size, PyObject *value);

/* `"name":` is `head`, with what separates it from what is before. */
static inline void put_int_member(Text *text, const char *head, PyObject *value)
{
    put_headed_int(text, head, strlen(head), value);
}

/* ASCII without what JSON escapes; anything else does not fit. */
static inline void put_text_member(Text *text, const char *head, PyObject *value)
{
    put_headed_text(text, head, strlen(head), value);
}

/* The text so far, as `bytes`. */
PyObject *bytes_of(const Text *text);

/* Whether an object is this text. */
bool is_text(PyObject *object, const char *text);

/* What a class makes of arguments, which it is given to keep; NULL and an error if one is NULL. */
PyObject *made_of(PyObject *type, PyObject **given, Py_ssize_t count);

/* `total / scale`, rounded up; false for what is negative or more than sums should have. */
bool rounded_up(__int128 total, int64_t scale, int64_t *result);

#endif
