/* What `limits/reckoning.py`, `limits/one_of_each.py` and `limits/answer_lines.py` do in Python, for
 * a call of text by a caller with at most one measure of each kind.
 *
 * Everything is decided before anything is changed. Sums of floats are those of the Python code in
 * its order: both admit the same calls, and tell their callers the same. */

#include "held.h"
#include "text.h"

#include <math.h>
#include <string.h>

#define SLACK_S 1e-9
#define LONGEST_OWED_S 1e9

/* --- what a call may use */

typedef struct {
    int64_t prompt, answer, likely;
    bool bounded;
    bool reserves;  /* a budget wants an upper bound of it */
    bool priced;
    int64_t microusd, most;
} Reckoned;

static bool has(const char *body, Py_ssize_t size, const char *mark)
{
    return memmem(body, (size_t)size, mark, strlen(mark)) != NULL;
}

/* `prompt_size.prompt_size`, of a body without pictures, sounds and files. */
static bool prompt_of(PyObject *body, Reckoned *need)
{
    if (body == NULL || !PyBytes_CheckExact(body))
        return false;
    const char *text = PyBytes_AS_STRING(body);
    Py_ssize_t size = PyBytes_GET_SIZE(body);
    if (has(text, size, "\"type\"")
        && (has(text, size, "\"image_url\"") || has(text, size, "\"input_audio\"")
            || has(text, size, "\"file_data\"") || has(text, size, "\"source\"")))
        return false;
    need->prompt = size;
    need->likely = size / BYTES_PER_TOKEN;
    return true;
}

/* What a member of the body says, -1 if it is not there; false if it is anything but digits. */
static bool number_of(const Steps *steps, PyObject *member, int64_t *value)
{
    *value = -1;
    if (member == steps->no_member)
        return true;
    Py_buffer view;
    if (member == NULL || PyObject_GetBuffer(member, &view, PyBUF_SIMPLE) < 0) {
        PyErr_Clear();
        return false;
    }
    const char *digits = view.buf;
    bool plain = view.len > 0 && view.len < 10;
    int64_t number = 0;
    for (Py_ssize_t i = 0; plain && i < view.len; i++) {
        plain = digits[i] >= '0' && digits[i] <= '9';
        number = 10 * number + (digits[i] - '0');
    }
    PyBuffer_Release(&view);
    if (plain)
        *value = number;
    return plain;
}

/* The most that the answer of a call may have; -1 if nobody says. */
static bool answer_of(const Steps *steps, PyObject *call, int64_t *answer)
{
    int64_t newer;
    if (field(&steps->call, call, CALL_N) != steps->no_member
        || !number_of(steps, field(&steps->call, call, CALL_MAX_TOKENS), answer)
        || !number_of(steps, field(&steps->call, call, CALL_MAX_COMPLETION_TOKENS), &newer))
        return false;
    if (newer > *answer)
        *answer = newer;
    return true;
}

/* `Line.cost_microusd`. */
static bool price_of(const Steps *steps, PyObject *line, int64_t input, int64_t output,
                     int64_t *microusd)
{
    int64_t per_request, each_in, each_out, scale;
    if (!is_a(&steps->line, line) || !int_of(&steps->line, line, LINE_PER_REQUEST, &per_request)
        || !int_of(&steps->line, line, LINE_INPUT, &each_in)
        || !int_of(&steps->line, line, LINE_OUTPUT, &each_out)
        || !int_of(&steps->line, line, LINE_SCALE, &scale) || scale <= 0)
        return false;
    __int128 total = (__int128)per_request + (__int128)input * each_in + (__int128)output * each_out;
    return rounded_up(total, scale, microusd);
}

/* `Reckoning.need`. `reserve` is what an upper bound is wanted in: a text, or None. */
static bool reckon(const Steps *steps, PyObject *call, PyObject *terms, PyObject *reserve,
                   int64_t assumed, double unix_s, Reckoned *need)
{
    double until;
    int64_t before, answer, longest;
    if (!is_a(&steps->terms, terms) || !double_of(&steps->terms, terms, TERMS_UNTIL, &until)
        || unix_s >= until || field(&steps->call, call, CALL_PASSED) != Py_None
        || !int_of(&steps->call, call, CALL_TOKENS_BEFORE, &before)
        || !prompt_of(field(&steps->call, call, CALL_BODY), need)
        || !answer_of(steps, call, &answer) || !is_moderate(before))
        return false;
    need->bounded = answer >= 0;
    need->prompt += before;
    need->likely += before + (answer < 0 ? assumed : answer);
    need->reserves = reserve != Py_None;
    need->priced = false;
    need->answer = need->most = answer;
    need->microusd = 0;
    if (!need->reserves)
        return true;
    PyObject *sellers = field(&steps->terms, terms, TERMS_SELLERS);
    if (!need->bounded) {
        if (!is_a(&steps->sellers, sellers)
            || !int_of(&steps->sellers, sellers, SELLERS_LONGEST_ANSWER, &longest)
            || !is_moderate(longest))
            return false;
        need->most = longest;
    }
    if (field(&steps->terms, terms, TERMS_TWICE) == Py_True) {
        need->prompt *= 2;
        need->most *= 2;
    }
    need->priced = is_text(reserve, "usd");
    return !need->priced
        || price_of(steps, field(&steps->terms, terms, TERMS_LINE), need->prompt, need->most,
                    &need->microusd);
}

/* --- what is taken */

typedef struct {
    double call_arrival, arrival, returned, call_owed_s, owed_s;
    int64_t running, amount;
    Sums sums;
    bool in_usd;
} Take;

/* One more by a rate; false where it is not simply admitted. */
static bool request_taken(const Steps *steps, PyObject *const *few, double now, Take *take)
{
    double step_s, room_s, arrival;
    take->call_arrival = now;
    if (few[REQUESTS] == Py_None)
        return true;
    if (!double_of(&steps->rate, few[REQUESTS], RATE_STEP_S, &step_s)
        || !read_double(few[ROOM_S], &room_s)
        || !double_of(&steps->rate_state, few[CALLED], RATE_STATE_ARRIVAL, &arrival))
        return false;
    if (arrival > now && arrival - now > room_s)
        return false;
    take->call_arrival = (arrival > now ? arrival : now) + step_s;
    take->call_owed_s = take->call_arrival - now;
    return true;
}

static bool tokens_taken(const Steps *steps, PyObject *const *few, int64_t tokens, double now,
                         Take *take)
{
    double step_s, burst_s, arrival;
    int64_t quota;
    take->arrival = now;
    if (!double_of(&steps->rate_state, few[USED], RATE_STATE_RETURNED, &take->returned))
        return false;
    if (few[TOKENS] == Py_None)
        return true;
    if (!int_of(&steps->rate, few[TOKENS], RATE_QUOTA, &quota)
        || !double_of(&steps->rate, few[TOKENS], RATE_STEP_S, &step_s)
        || !double_of(&steps->rate, few[TOKENS], RATE_BURST_S, &burst_s)
        || !double_of(&steps->rate_state, few[USED], RATE_STATE_ARRIVAL, &arrival))
        return false;
    double cost_s = (double)tokens * step_s;
    if (tokens > quota || (arrival > now && arrival - now + cost_s - burst_s > SLACK_S))
        return false;
    take->arrival = (arrival > now ? arrival : now) + cost_s;
    take->owed_s = take->arrival - now;
    return true;
}

static bool place_taken(const Steps *steps, PyObject *const *few, Take *take)
{
    int64_t most;
    return few[LIMIT] == Py_None
        || (int_of(&steps->at_once, few[LIMIT], AT_ONCE_MOST, &most)
            && int_of(&steps->at_once_state, few[RUNNING], AT_ONCE_STATE_RUNNING, &take->running)
            && take->running < most);
}

/* A budget that is past its warning is left to Python, which tells of it. */
static bool amount_reserved(const Steps *steps, PyObject *const *few, const Reckoned *need,
                            double unix_s, Take *take)
{
    int64_t cap, soft;
    if (!double_of(&steps->budget_state, few[KEPT], BUDGET_STATE_ENDS_AT, &take->sums.ends_at))
        return false;
    if (few[BUDGET] == Py_None)
        return true;
    if (!int_of(&steps->budget, few[BUDGET], BUDGET_CAP, &cap)
        || !int_of(&steps->budget, few[BUDGET], BUDGET_SOFT, &soft)
        || !sums_of(steps, few, &take->sums) || unix_s >= take->sums.ends_at)
        return false;
    take->in_usd = is_text(field(&steps->budget, few[BUDGET], BUDGET_UNIT), "usd");
    if (take->in_usd && !need->priced)
        return false;
    take->amount = take->in_usd ? need->microusd : need->prompt + need->most;
    take->sums.reserved += take->amount;
    return is_moderate(take->sums.spent) && is_moderate(take->sums.reserved)
        && take->sums.spent + take->sums.reserved <= cap && take->sums.spent < soft;
}

static bool take_all(const Steps *steps, PyObject *const *few, const Reckoned *need, double now,
                     double unix_s, Take *take)
{
    return request_taken(steps, few, now, take)
        && tokens_taken(steps, few, need->likely, now, take) && place_taken(steps, few, take)
        && amount_reserved(steps, few, need, unix_s, take);
}

/* Nothing of it can fail but for want of memory. */
static bool bring_about(const Steps *steps, PyObject *const *few, const Take *take)
{
    bool done = put_double(&steps->rate_state, few[CALLED], RATE_STATE_ARRIVAL, take->call_arrival)
        && put_double(&steps->rate_state, few[USED], RATE_STATE_ARRIVAL, take->arrival);
    if (done && few[LIMIT] != Py_None)
        done = put_int(&steps->at_once_state, few[RUNNING], AT_ONCE_STATE_RUNNING, take->running + 1);
    if (done && few[BUDGET] != Py_None) {
        done = put_int(&steps->budget_state, few[KEPT], BUDGET_STATE_RESERVED, take->sums.reserved);
        write_sums(&take->sums);
    }
    return done;
}

/* --- what the caller is told */

typedef struct {
    int64_t left, after_s;
    double owed_s;
} Told;

/* `answer_lines._told`. */
static bool told_of(const Steps *steps, PyObject *rate, double owed_s, Told *told)
{
    double step_s, burst_s;
    if (!double_of(&steps->rate, rate, RATE_STEP_S, &step_s)
        || !double_of(&steps->rate, rate, RATE_BURST_S, &burst_s) || owed_s > LONGEST_OWED_S)
        return false;
    double left = (burst_s - owed_s) / step_s + 1e-6;
    if (!(left < (double)MOST_MODERATE))
        return false;
    told->left = left < 0.0 ? 0 : (int64_t)left;
    told->owed_s = owed_s;
    told->after_s = (int64_t)ceil(owed_s);
    return true;
}

/* `answer_lines.duration`. */
static void put_duration(Text *text, double owed_s)
{
    if (owed_s < 1.0) {
        put_number(text, (int64_t)ceil(owed_s * 1000));
        put(text, "ms", 2);
        return;
    }
    int64_t whole = (int64_t)ceil(owed_s);
    if (whole >= 3600) {
        put_number(text, whole / 3600);
        put(text, "h", 1);
    }
    if (whole >= 60) {
        put_number(text, whole % 3600 / 60);
        put(text, "m", 1);
    }
    put_number(text, whole % 60);
    put(text, "s", 1);
}

/* `Lines.standing`, of the pieces between what changes. */
static bool put_standing(const Steps *steps, PyObject *lines, PyObject *const *few,
                         const Take *take, Text *text)
{
    if (!is_a(&steps->lines, lines))
        return false;
    PyObject *pieces = field(&steps->lines, lines, LINES_PIECES);
    if (pieces == NULL || !PyTuple_CheckExact(pieces))
        return false;
    Told told[2];
    int rates = 0;
    if (few[REQUESTS] != Py_None
        && !told_of(steps, few[REQUESTS], take->call_owed_s, &told[rates++]))
        return false;
    if (few[TOKENS] != Py_None && !told_of(steps, few[TOKENS], take->owed_s, &told[rates++]))
        return false;
    if (PyTuple_GET_SIZE(pieces) != 1 + 4 * rates)
        return false;
    int next = 0;
    put_bytes(text, PyTuple_GET_ITEM(pieces, next++));
    for (int i = 0; i < rates; i++) {
        put_number(text, told[i].left);
        put_bytes(text, PyTuple_GET_ITEM(pieces, next++));
        put_duration(text, told[i].owed_s);
        put_bytes(text, PyTuple_GET_ITEM(pieces, next++));
    }
    for (int i = 0; i < rates; i++) {
        put_number(text, told[i].left);
        put_bytes(text, PyTuple_GET_ITEM(pieces, next++));
        put_number(text, told[i].after_s);
        put_bytes(text, PyTuple_GET_ITEM(pieces, next++));
    }
    return text->fits;
}

/* --- the step */

static PyObject *need_of(const Steps *steps, const Reckoned *need)
{
    PyObject *given[6] = {
        PyLong_FromLongLong(need->prompt),
        need->most < 0 ? Py_NewRef(Py_None) : PyLong_FromLongLong(need->most),
        need->priced ? PyLong_FromLongLong(need->microusd) : Py_NewRef(Py_None),
        PyLong_FromLongLong(need->likely),
        PyLong_FromLongLong(need->reserves ? need->prompt + need->most : 0),
        PyBool_FromLong(need->bounded),
    };
    return made_of(steps->make_need, given, 6);
}

/* admit(call, few, lines, terms, reserve, assumed, now, unix): see `_steps.pyi`. */
PyObject *steps_admit(Steps *self, PyObject *const *args, Py_ssize_t count)
{
    if (!counted(count, 8))
        return NULL;
    PyObject *call = args[0], *few_tuple = args[1];
    Reckoned reckoned = {.priced = true};
    Take take = {0};
    Text text;
    int64_t assumed;
    double now, unix_s;
    if (!is_a(&self->call, call) || !PyTuple_CheckExact(few_tuple)
        || PyTuple_GET_SIZE(few_tuple) != FEW || !read_int(args[5], &assumed)
        || !read_double(args[6], &now) || !read_double(args[7], &unix_s))
        Py_RETURN_FALSE;
    PyObject *const *few = ((PyTupleObject *)few_tuple)->ob_item;
    bool matters = args[3] != Py_None;
    begin(&text);
    if ((matters && !reckon(self, call, args[3], args[4], assumed, unix_s, &reckoned))
        || !take_all(self, few, &reckoned, now, unix_s, &take)
        || !put_standing(self, args[2], few, &take, &text))
        Py_RETURN_FALSE;
    Stake stake = {now, take.arrival, take.returned, reckoned.likely, take.amount,
                   take.sums.ends_at, take.in_usd};
    PyObject *need = matters ? need_of(self, &reckoned) : NULL;
    PyObject *held = held_of(self, few_tuple, &stake);
    PyObject *standing = bytes_of(&text);
    if ((matters && need == NULL) || held == NULL || standing == NULL
        || !bring_about(self, few, &take)) {
        Py_XDECREF(need);
        Py_XDECREF(held);
        Py_XDECREF(standing);
        return NULL;
    }
    if (matters)
        set_field(&self->call, call, CALL_RESERVED, need);
    set_field(&self->call, call, CALL_HOLD, held);
    set_field(&self->call, call, CALL_STANDING, standing);
    Py_RETURN_TRUE;
}
