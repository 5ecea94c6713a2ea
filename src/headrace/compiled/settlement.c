/* `Metering.settle` and `Metering.price`, for calls that ended in a usual way. */

#include "records.h"

enum { SEQ, NUMBER, AT_US, CALL, DIALECT, OPERATION, MODEL, KEY, TENANT, STATUS, FINISH, ANSWERED_BY,
       ATTEMPTS, LATENCY_US, BACKEND, REGION, USED_MODEL, TEAM, USER, TAGS, STREAM, INPUT, OUTPUT,
       CACHED, REASONING, AUDIO_INPUT, AUDIO_OUTPUT, SOURCE, COST, SAVED, VERSION, TTFT_US, REASON,
       CACHE_WRITE, CACHE_TIER, VALUES };
/* Of `records.Settlement`, by the order of its fields, as far as they are filled in here. */

#define OWNED 4 /* of the values: those that were made for the record */

static void put_settlement(Text *line, PyObject *const *values)
{
    begin(line);
    PUT(line, "{\"kind\":\"settlement\"");
    put_int_member(line, ",\"seq\":", values[SEQ]);
    put_int_member(line, ",\"number\":", values[NUMBER]);
    put_int_member(line, ",\"at_us\":", values[AT_US]);
    put_text_member(line, ",\"call\":", values[CALL]);
    put_text_member(line, ",\"dialect\":", values[DIALECT]);
    put_text_member(line, ",\"operation\":", values[OPERATION]);
    put_text_member(line, ",\"model\":", values[MODEL]);
    put_text_member(line, ",\"key\":", values[KEY]);
    put_text_member(line, ",\"tenant\":", values[TENANT]);
    put_int_member(line, ",\"status\":", values[STATUS]);
    put_text_member(line, ",\"finish\":", values[FINISH]);
    put_text_member(line, ",\"answered_by\":", values[ANSWERED_BY]);
    put_int_member(line, ",\"attempts\":", values[ATTEMPTS]);
    put_int_member(line, ",\"latency_us\":", values[LATENCY_US]);
    put_text_unless_none(line, ",\"backend\":", values[BACKEND]);
    put_text_unless_none(line, ",\"region\":", values[REGION]);
    put_text_unless_none(line, ",\"used_model\":", values[USED_MODEL]);
    put_text_unless_none(line, ",\"team\":", values[TEAM]);
    put_text_unless_none(line, ",\"user\":", values[USER]);
    put_tags(line, values[TAGS]);
    put_stream(line, values[STREAM]);
    put_int_unless_zero(line, ",\"input_tokens\":", values[INPUT]);
    put_int_unless_zero(line, ",\"output_tokens\":", values[OUTPUT]);
    put_int_unless_zero(line, ",\"cached_tokens\":", values[CACHED]);
    put_int_unless_zero(line, ",\"reasoning_tokens\":", values[REASONING]);
    put_int_unless_zero(line, ",\"audio_input_tokens\":", values[AUDIO_INPUT]);
    put_int_unless_zero(line, ",\"audio_output_tokens\":", values[AUDIO_OUTPUT]);
    if (!is_text(values[SOURCE], "none"))
        put_text_member(line, ",\"usage_source\":", values[SOURCE]);
    if (values[COST] == Py_None)
        PUT(line, ",\"cost_microusd\":null");
    else
        put_int_unless_zero(line, ",\"cost_microusd\":", values[COST]);
    put_int_unless_zero(line, ",\"saved_microusd\":", values[SAVED]);
    if (!is_text(values[VERSION], ""))
        put_text_member(line, ",\"price_version\":", values[VERSION]);
    put_int_unless_none(line, ",\"ttft_us\":", values[TTFT_US]);
    put_text_unless_none(line, ",\"reason\":", values[REASON]);
    put_int_unless_zero(line, ",\"cache_write_tokens\":", values[CACHE_WRITE]);
    put_text_unless_none(line, ",\"cache_tier\":", values[CACHE_TIER]);
    PUT(line, "}\n");
}

static void of_call(PyObject **values, const Said *said)
{
    values[CALL] = said->id;
    values[DIALECT] = said->dialect;
    values[OPERATION] = said->operation;
    values[MODEL] = said->model;
    values[KEY] = said->key;
    values[TENANT] = said->tenant;
    values[TEAM] = said->team;
    values[USER] = said->user;
    values[TAGS] = said->tags;
    values[STREAM] = said->stream;
}

static void of_usage(const Steps *steps, PyObject **values, PyObject *usage)
{
    for (int i = USAGE_INPUT; i <= USAGE_SOURCE; i++)
        values[INPUT + i] = field(&steps->usage, usage, i);
    values[CACHE_WRITE] = field(&steps->usage, usage, USAGE_CACHE_WRITE);
}

/* False if a call's end is not a usual one. */
static bool of_progress(Steps *steps, PyObject **values, PyObject *progress)
{
    const Shape *shape = &steps->progress;
    PyObject *target = field(shape, progress, PROGRESS_TARGET);
    bool sent = target != Py_None;
    if (sent && !is_a(&steps->target, target))
        return false;
    values[BACKEND] = sent ? field(&steps->target, target, TARGET_NAME) : Py_None;
    values[REGION] = sent ? field(&steps->target, target, TARGET_REGION) : Py_None;
    values[USED_MODEL] = sent ? field(&steps->target, target, TARGET_MODEL) : Py_None;
    values[STATUS] = field(shape, progress, PROGRESS_STATUS);
    values[FINISH] = field(shape, progress, PROGRESS_FINISH);
    values[ATTEMPTS] = field(shape, progress, PROGRESS_ATTEMPTS);
    values[ANSWERED_BY] = field(shape, progress, PROGRESS_ANSWERED_BY);
    if (is_text(values[ANSWERED_BY], ""))
        values[ANSWERED_BY] = sent ? steps->upstream : steps->nobody;
    values[COST] = field(shape, progress, PROGRESS_COST_MICROUSD);
    if (values[COST] == Py_None && is_text(values[SOURCE], "none"))
        values[COST] = steps->zero;
    values[SAVED] = field(shape, progress, PROGRESS_SAVED_MICROUSD);
    values[REASON] = field(shape, progress, PROGRESS_REASON);
    values[CACHE_TIER] = field(shape, progress, PROGRESS_CACHE_TIER);
    return true;
}

/* Microseconds from one instant to another. */
static PyObject *between(double began, double ended)
{
    return PyLong_FromLongLong((int64_t)((ended - began) * 1e6));
}

/* The values that are made for this record: `owned` holds what is to be given back. */
static bool of_instants(Steps *steps, PyObject **values, PyObject *call, PyObject *progress,
                        const Pen *pen, double now, PyObject **owned)
{
    double received_at, first = 0.0;
    int64_t number;
    PyObject *first_at = field(&steps->progress, progress, PROGRESS_FIRST_CONTENT_AT);
    if (!double_of(&steps->call, call, CALL_RECEIVED_AT, &received_at)
        || !int_of(&steps->progress, progress, PROGRESS_NUMBER, &number)
        || (first_at != Py_None && !read_double(first_at, &first)))
        return false;
    values[SEQ] = owned[0] = PyLong_FromLongLong(pen->seq);
    values[NUMBER] = owned[1] = PyLong_FromLongLong(number ? number : pen->seq);
    values[LATENCY_US] = owned[2] = between(received_at, now);
    values[TTFT_US] = Py_None;
    if (first_at != Py_None)
        values[TTFT_US] = owned[3] = between(received_at, first);
    return values[SEQ] != NULL && values[NUMBER] != NULL && values[LATENCY_US] != NULL
        && values[TTFT_US] != NULL;
}

static bool values_of(Steps *steps, PyObject *const *args, PyObject **values, Pen *pen,
                      PyObject **owned)
{
    PyObject *call = args[1], *progress = args[2], *usage = args[3];
    Said said;
    double now;
    if (!pen_of(steps, args[0], pen) || !said_of(steps, call, &said)
        || !is_a(&steps->progress, progress) || !is_a(&steps->usage, usage)
        || !read_double(args[6], &now) || field(&steps->call, call, CALL_CUT) != Py_None)
        return false;
    of_call(values, &said);
    of_usage(steps, values, usage);
    values[VERSION] = args[4];
    values[AT_US] = args[5];
    return of_progress(steps, values, progress)
        && of_instants(steps, values, call, progress, pen, now, owned);
}

/* settle(journal, call, progress, usage, version, at_us, now): see `_steps.pyi`. */
PyObject *steps_settle(Steps *self, PyObject *const *args, Py_ssize_t count)
{
    if (!counted(count, 7))
        return NULL;
    PyObject *values[VALUES], *owned[OWNED] = {NULL}, *made = NULL;
    Text line;
    Pen pen;
    int written = 0;
    if (values_of(self, args, values, &pen, owned)) {
        put_settlement(&line, values);
        if (line.fits) {
            made = PyObject_Vectorcall(self->make_settlement, values, VALUES, NULL);
            written = made == NULL ? -1 : append(self, args[0], &pen, &line);
        }
    }
    for (int i = 0; i < OWNED; i++)
        Py_XDECREF(owned[i]);
    if (written != 1)
        Py_CLEAR(made);
    if (written < 0 || PyErr_Occurred())
        return NULL;
    return written ? made : Py_NewRef(Py_None);
}

/* --- price */

/* `PriceBook.cost_microusd`, of tokens of text at a price that is the same for every call. */
static bool cost_of(const Steps *steps, PyObject *flat, PyObject *usage, int64_t *cost)
{
    int64_t asked, answered, cached, reasoning, written, rates[FLAT_SCALE + 1];
    if (!is_a(&steps->flat, flat) || !is_a(&steps->usage, usage)
        || field(&steps->usage, usage, USAGE_UNITS) != Py_None
        || !int_of(&steps->usage, usage, USAGE_INPUT, &asked)
        || !int_of(&steps->usage, usage, USAGE_OUTPUT, &answered)
        || !int_of(&steps->usage, usage, USAGE_CACHED, &cached)
        || !int_of(&steps->usage, usage, USAGE_REASONING, &reasoning)
        || !int_of(&steps->usage, usage, USAGE_CACHE_WRITE, &written) || written != 0)
        return false;
    for (int i = 0; i <= FLAT_SCALE; i++)
        if (!int_of(&steps->flat, flat, i, &rates[i]))
            return false;
    if (rates[FLAT_SCALE] <= 0)
        return false;
    __int128 total = (__int128)asked * rates[FLAT_INPUT] + (__int128)answered * rates[FLAT_OUTPUT];
    int64_t less = cached < asked ? cached : asked;
    total += rates[FLAT_PER_REQUEST] + (__int128)cached * rates[FLAT_CACHED];
    total -= (__int128)less * (cached ? rates[FLAT_INPUT] : 0);
    int64_t thought = reasoning < answered ? reasoning : answered;
    total += (__int128)thought * (reasoning ? rates[FLAT_REASONING_MORE] : 0);
    return rounded_up(total, rates[FLAT_SCALE], cost);
}

/* price(flat, call, progress): see `_steps.pyi`. */
PyObject *steps_price(Steps *self, PyObject *const *args, Py_ssize_t count)
{
    if (!counted(count, 3))
        return NULL;
    PyObject *call = args[1], *progress = args[2];
    const Shape *shape = &self->progress;
    Seller seller;
    int64_t cost;
    if (!is_a(&self->call, call) || !is_a(shape, progress) || !PyDict_CheckExact(args[0])
        || field(shape, progress, PROGRESS_SENT_UPSTREAM) != Py_True
        || field(shape, progress, PROGRESS_PRICED) != Py_False
        || field(shape, progress, PROGRESS_BESIDE) != Py_None)
        Py_RETURN_FALSE;
    PyObject *target = field(shape, progress, PROGRESS_TARGET);
    if (!is_a(&self->target, target)
        || !seller_of(self, target, field(&self->call, call, CALL_MODEL), &seller))
        Py_RETURN_FALSE;
    PyObject *key = PyTuple_Pack(2, seller.provider, seller.sold_as);
    leave(&seller);
    if (key == NULL)
        return NULL;
    PyObject *flat = PyDict_GetItemWithError(args[0], key);
    Py_DECREF(key);
    if (flat == NULL && PyErr_Occurred())
        return NULL;
    if (!cost_of(self, flat, field(shape, progress, PROGRESS_USAGE), &cost))
        Py_RETURN_FALSE;
    if (!put_int(shape, progress, PROGRESS_COST_MICROUSD, cost))
        return NULL;
    set_field(shape, progress, PROGRESS_PRICED, Py_NewRef(Py_True));
    Py_RETURN_TRUE;
}
