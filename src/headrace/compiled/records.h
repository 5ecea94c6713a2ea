/* The journal's lines, and what they say of a call. */
#ifndef HEADRACE_RECORDS_H
#define HEADRACE_RECORDS_H

#include "steps.h"
#include "text.h"

/* Where the journal is written. */
typedef struct {
    int64_t at, made, seq;
} Pen;

bool pen_of(const Steps *steps, PyObject *journal, Pen *pen);

/* `Journal.append`: 1 if it is there, 0 if it has no room, -1 and an error for want of memory. */
int append(const Steps *steps, PyObject *journal, const Pen *pen, const Text *line);

/* What both records say of a call and its caller; borrowed. */
typedef struct {
    PyObject *id, *dialect, *operation, *model, *stream;
    PyObject *key, *user, *team, *tenant, *tags;
} Said;

bool said_of(const Steps *steps, PyObject *call, Said *said);

/* As what a backend sells a call: provider, and its model's name for prices. To `leave`. */
typedef struct {
    PyObject *provider, *sold_as;
} Seller;

bool seller_of(const Steps *steps, PyObject *target, PyObject *model, Seller *seller);
void leave(Seller *seller);

/* Members that are left out where they say nothing. */
void put_text_unless_none(Text *line, const char *head, PyObject *value);
void put_int_unless_none(Text *line, const char *head, PyObject *value);
void put_int_unless_zero(Text *line, const char *head, PyObject *value);
void put_tags(Text *line, PyObject *tags);
void put_stream(Text *line, PyObject *stream);

#endif
