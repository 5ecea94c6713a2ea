/* What `metering.py` does in Python: the records of a call, as lines of the journal, and its price.
 *
 * A line is what msgspec writes of the record: members in their order, without those that are as
 * they are if nothing is said. What needs escapes, is longer than a buffer or finds no room in the
 * journal's window is left to Python. */

#include "records.h"

/* --- the journal */

bool pen_of(const Steps *steps, PyObject *journal, Pen *pen)
{
    return is_a(&steps->journal, journal) && int_of(&steps->journal, journal, JOURNAL_AT, &pen->at)
        && int_of(&steps->journal, journal, JOURNAL_MADE, &pen->made)
        && int_of(&steps->journal, journal, JOURNAL_NEXT_SEQ, &pen->seq);
}

/* `Journal.append`; 0 if it found no room, -1 for want of memory. */
int append(const Steps *steps, PyObject *journal, const Pen *pen, const Text *line)
{
    PyObject *window = field(&steps->journal, journal, JOURNAL_WINDOW);
    int64_t end = pen->at + line->size;
    Py_buffer view;
    if (!line->fits || end > pen->made || window == NULL || window == Py_None)
        return 0;
    PyObject *now_at = PyLong_FromLongLong(end), *next = PyLong_FromLongLong(pen->seq + 1);
    if (now_at == NULL || next == NULL || PyObject_GetBuffer(window, &view, PyBUF_WRITABLE) < 0) {
        Py_XDECREF(now_at);
        Py_XDECREF(next);
        return -1;
    }
    bool room = pen->at >= 0 && end <= view.len;
    if (room)
        memcpy((char *)view.buf + pen->at, line->bytes, (size_t)line->size);
    PyBuffer_Release(&view);
    if (!room) {
        Py_DECREF(now_at);
        Py_DECREF(next);
        return 0;
    }
    set_field(&steps->journal, journal, JOURNAL_AT, now_at);
    set_field(&steps->journal, journal, JOURNAL_NEXT_SEQ, next);
    return 1;
}

/* --- members that may be left out */

void put_text_unless_none(Text *line, const char *head, PyObject *value)
{
    if (value != Py_None)
        put_text_member(line, head, value);
}

void put_int_unless_none(Text *line, const char *head, PyObject *value)
{
    if (value != Py_None)
        put_int_member(line, head, value);
}

void put_int_unless_zero(Text *line, const char *head, PyObject *value)
{
    int64_t number;
    if (!read_int(value, &number) || number != 0)
        put_int_member(line, head, value);
}

/* `()` is left out; else `[["name","value"],...]`. */
void put_tags(Text *line, PyObject *tags)
{
    if (tags == NULL || !PyTuple_CheckExact(tags)) {
        line->fits = false;
        return;
    }
    Py_ssize_t count = PyTuple_GET_SIZE(tags);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *tag = PyTuple_GET_ITEM(tags, i);
        if (!PyTuple_CheckExact(tag) || PyTuple_GET_SIZE(tag) != 2) {
            line->fits = false;
            return;
        }
        put_text_member(line, i == 0 ? ",\"tags\":[[" : ",[", PyTuple_GET_ITEM(tag, 0));
        put_text_member(line, ",", PyTuple_GET_ITEM(tag, 1));
        PUT(line, "]");
    }
    if (count)
        PUT(line, "]");
}

void put_stream(Text *line, PyObject *stream)
{
    if (stream == Py_True)
        PUT(line, ",\"stream\":true");
    else if (stream != Py_False)
        line->fits = false;
}

/* --- what both records say of a call */

/* A plain text of an enumeration's member, which is one for good; borrowed. */
static PyObject *value_of(const Steps *steps, PyObject *member)
{
    PyObject *value = member == NULL ? NULL : PyObject_GetAttr(member, steps->value);
    Py_XDECREF(value);
    return value;
}

bool said_of(const Steps *steps, PyObject *call, Said *said)
{
    if (!is_a(&steps->call, call))
        return false;
    PyObject *caller = field(&steps->call, call, CALL_CALLER);
    if (!is_a(&steps->caller, caller))
        return false;
    said->id = field(&steps->call, call, CALL_ID);
    said->dialect = value_of(steps, field(&steps->call, call, CALL_DIALECT));
    said->operation = value_of(steps, field(&steps->call, call, CALL_OPERATION));
    said->model = field(&steps->call, call, CALL_MODEL);
    said->stream = field(&steps->call, call, CALL_STREAM);
    said->key = field(&steps->caller, caller, CALLER_KEY_ID);
    said->user = field(&steps->caller, caller, CALLER_USER);
    said->team = field(&steps->caller, caller, CALLER_TEAM);
    said->tenant = field(&steps->caller, caller, CALLER_TENANT);
    said->tags = field(&steps->caller, caller, CALLER_TAGS);
    if (said->dialect == NULL || said->operation == NULL) {
        PyErr_Clear();
        return false;
    }
    return true;
}

static void put_call(Text *line, const Said *said)
{
    put_text_member(line, ",\"call\":", said->id);
    put_text_member(line, ",\"dialect\":", said->dialect);
    put_text_member(line, ",\"operation\":", said->operation);
    put_text_member(line, ",\"model\":", said->model);
    put_text_member(line, ",\"key\":", said->key);
    put_text_member(line, ",\"tenant\":", said->tenant);
}

static void put_caller(Text *line, const Said *said)
{
    put_text_unless_none(line, ",\"team\":", said->team);
    put_text_unless_none(line, ",\"user\":", said->user);
    put_tags(line, said->tags);
    put_stream(line, said->stream);
}

bool seller_of(const Steps *steps, PyObject *target, PyObject *model, Seller *seller)
{
    PyObject *service = field(&steps->target, target, TARGET_SERVICE);
    if (service == NULL || model == NULL)
        return false;
    seller->provider = PyObject_GetAttr(service, steps->provider);
    seller->sold_as = PyObject_GetAttr(service, steps->priced_as);
    if (seller->provider == NULL || seller->sold_as == NULL) {
        PyErr_Clear();
        Py_CLEAR(seller->provider);
        Py_CLEAR(seller->sold_as);
        return false;
    }
    if (seller->sold_as == Py_None
        || (PyUnicode_Check(seller->sold_as) && PyUnicode_GET_LENGTH(seller->sold_as) == 0)) {
        Py_SETREF(seller->sold_as, Py_NewRef(model));
    }
    return true;
}

void leave(Seller *seller)
{
    Py_CLEAR(seller->provider);
    Py_CLEAR(seller->sold_as);
}

/* --- the steps */

static void put_reserved(const Steps *steps, Text *line, PyObject *call)
{
    PyObject *reserved = field(&steps->call, call, CALL_RESERVED);
    if (reserved == Py_None) {
        PyObject *body = field(&steps->call, call, CALL_BODY);
        if (body == NULL || !PyBytes_CheckExact(body)) {
            line->fits = false;
            return;
        }
        int64_t tokens = PyBytes_GET_SIZE(body) / BYTES_PER_TOKEN;
        if (tokens) {
            PUT(line, ",\"input_tokens\":");
            put_number(line, tokens);
        }
        return;
    }
    if (reserved == NULL || !PyObject_TypeCheck(reserved, steps->reserved.type)) {
        line->fits = false;
        return;
    }
    put_int_unless_zero(line, ",\"input_tokens\":", field(&steps->reserved, reserved, RESERVED_INPUT));
    put_int_unless_none(line, ",\"output_tokens\":", field(&steps->reserved, reserved, RESERVED_OUTPUT));
    put_int_unless_none(line, ",\"bound_microusd\":",
                        field(&steps->reserved, reserved, RESERVED_COST_MICROUSD));
}

/* intend(journal, call, target, progress, at_us): see `_steps.pyi`. */
PyObject *steps_intend(Steps *self, PyObject *const *args, Py_ssize_t count)
{
    if (!counted(count, 5))
        return NULL;
    PyObject *journal = args[0], *call = args[1], *target = args[2], *progress = args[3];
    Text line;
    Said said;
    Pen pen;
    Seller seller;
    int64_t number;
    if (!pen_of(self, journal, &pen) || !said_of(self, call, &said) || !is_a(&self->target, target)
        || !is_a(&self->progress, progress)
        || !int_of(&self->progress, progress, PROGRESS_NUMBER, &number)
        || !seller_of(self, target, said.model, &seller))
        Py_RETURN_FALSE;
    if (number == 0)
        number = pen.seq;
    begin(&line);
    PUT(&line, "{\"kind\":\"intent\",\"seq\":");
    put_number(&line, pen.seq);
    PUT(&line, ",\"number\":");
    put_number(&line, number);
    put_int_member(&line, ",\"attempt\":", field(&self->progress, progress, PROGRESS_ATTEMPTS));
    put_int_member(&line, ",\"at_us\":", args[4]);
    put_call(&line, &said);
    put_text_member(&line, ",\"backend\":", field(&self->target, target, TARGET_NAME));
    put_text_member(&line, ",\"provider\":", seller.provider);
    put_text_member(&line, ",\"priced_as\":", seller.sold_as);
    leave(&seller);
    put_text_unless_none(&line, ",\"region\":", field(&self->target, target, TARGET_REGION));
    put_text_unless_none(&line, ",\"used_model\":", field(&self->target, target, TARGET_MODEL));
    put_caller(&line, &said);
    put_reserved(self, &line, call);
    PUT(&line, "}\n");
    PyObject *own = PyLong_FromLongLong(number);
    int written = own == NULL ? -1 : append(self, journal, &pen, &line);
    if (written == 1)
        set_field(&self->progress, progress, PROGRESS_NUMBER, Py_NewRef(own));
    Py_XDECREF(own);
    return written < 0 ? NULL : PyBool_FromLong(written);
}
