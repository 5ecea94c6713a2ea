/* What one call holds of its caller's limits: `one_of_each.Taken` in C. What is unusual in its end
 * is left to that. As there, everything is read before anything is changed. */

#include "held.h"

#include <string.h>

PyObject *held_of(Steps *steps, PyObject *few, const Stake *stake)
{
    Held *self = PyObject_New(Held, &HeldType);
    if (self == NULL)
        return NULL;
    self->steps = (Steps *)Py_NewRef(steps);
    self->few = Py_NewRef(few);
    self->stake = *stake;
    return (PyObject *)self;
}

static void held_dealloc(Held *self)
{
    Py_DECREF(self->steps);
    Py_DECREF(self->few);
    PyObject_Free(self);
}

bool sums_of(const Steps *steps, PyObject *const *few, Sums *sums)
{
    PyObject *kept = few[KEPT], *file = few[BUDGET_FILE];
    sums->place = NULL;
    if (!int_of(&steps->budget_state, kept, BUDGET_STATE_SPENT, &sums->spent)
        || !int_of(&steps->budget_state, kept, BUDGET_STATE_RESERVED, &sums->reserved)
        || !double_of(&steps->budget_state, kept, BUDGET_STATE_ENDS_AT, &sums->ends_at))
        return false;
    if (file == Py_None)
        return true;
    int64_t slot;
    if (!is_a(&steps->budget_file, file)
        || !int_of(&steps->budget_state, kept, BUDGET_STATE_SLOT, &slot) || slot < 0)
        return false;
    PyObject *map = field(&steps->budget_file, file, BUDGET_FILE_MAP);
    Py_buffer view;
    if (map == NULL || PyObject_GetBuffer(map, &view, PyBUF_WRITABLE) < 0) {
        PyErr_Clear();
        return false;
    }
    /* The file is not resized before this step is over: the interpreter's lock is held. */
    if (slot + (Py_ssize_t)sizeof(int64_t[2]) <= view.len)
        sums->place = (char *)view.buf + slot;
    PyBuffer_Release(&view);
    return sums->place != NULL;
}

void write_sums(const Sums *sums)
{
    if (sums->place != NULL) {
        int64_t both[2] = {sums->spent, sums->reserved};
        memcpy(sums->place, both, sizeof both);
    }
}

/* What `settle` finds, and what it makes of it. */
typedef struct {
    int64_t running;
    double arrival, returned;
    Sums sums;
    bool in_period;
} End;

static bool end_of(const Held *self, int64_t tokens, int64_t microusd, double now, End *end)
{
    const Steps *steps = self->steps;
    const Stake *stake = &self->stake;
    PyObject *const *few = ((PyTupleObject *)self->few)->ob_item;
    if (few[LIMIT] != Py_None
        && !int_of(&steps->at_once_state, few[RUNNING], AT_ONCE_STATE_RUNNING, &end->running))
        return false;
    if (few[TOKENS] != Py_None) { /* `RateState.settle` and `gcra.refund_s` */
        double step_s, arrival, returned;
        if (!double_of(&steps->rate, few[TOKENS], RATE_STEP_S, &step_s)
            || !double_of(&steps->rate_state, few[USED], RATE_STATE_ARRIVAL, &arrival)
            || !double_of(&steps->rate_state, few[USED], RATE_STATE_RETURNED, &returned))
            return false;
        int64_t surplus = stake->reserved_tokens - tokens;
        if (surplus > 0) {
            double last = stake->own - (returned - stake->returned);
            double least = stake->began + (double)stake->reserved_tokens * step_s;
            double left = (last > least ? last : least) - now;
            double surplus_s = (double)surplus * step_s;
            double back_s = left <= 0.0 ? 0.0 : surplus_s < left ? surplus_s : left;
            end->arrival = arrival - back_s;
            end->returned = returned + back_s;
        }
        else {
            end->arrival = (arrival > now ? arrival : now) + (double)-surplus * step_s;
            end->returned = returned;
        }
    }
    if (few[BUDGET] != Py_None) { /* `BudgetState.settle` */
        if (!sums_of(steps, few, &end->sums))
            return false;
        end->in_period = end->sums.ends_at == stake->period;
        end->sums.reserved -= stake->amount;
        end->sums.spent += stake->in_usd ? microusd : tokens;
    }
    return true;
}

static bool bring_about(const Held *self, const End *end)
{
    const Steps *steps = self->steps;
    PyObject *const *few = ((PyTupleObject *)self->few)->ob_item;
    bool done = true;
    if (few[LIMIT] != Py_None)
        done = put_int(&steps->at_once_state, few[RUNNING], AT_ONCE_STATE_RUNNING, end->running - 1);
    if (few[TOKENS] != Py_None)
        done = done && put_double(&steps->rate_state, few[USED], RATE_STATE_ARRIVAL, end->arrival)
            && put_double(&steps->rate_state, few[USED], RATE_STATE_RETURNED, end->returned);
    if (few[BUDGET] != Py_None && end->in_period) {
        const Shape *kept = &steps->budget_state;
        done = done && put_int(kept, few[KEPT], BUDGET_STATE_RESERVED, end->sums.reserved)
            && put_int(kept, few[KEPT], BUDGET_STATE_SPENT, end->sums.spent);
        if (done)
            write_sums(&end->sums);
    }
    return done;
}

/* By the same thing in Python. */
static PyObject *settle_otherwise(Held *self, PyObject *const *args)
{
    const Stake *stake = &self->stake;
    PyObject *taken = PyObject_CallFunction(
        self->steps->make_taken, "dddOOLLd", stake->began, stake->own, stake->returned, Py_None,
        self->few, (long long)stake->reserved_tokens, (long long)stake->amount, stake->period);
    if (taken == NULL)
        return NULL;
    PyObject *done = PyObject_CallMethod(taken, "settle", "OOO", args[0], args[1], args[2]);
    Py_DECREF(taken);
    return done;
}

static PyObject *held_settle(Held *self, PyObject *const *args, Py_ssize_t count)
{
    int64_t tokens, microusd;
    double now;
    End end;
    if (!counted(count, 3))
        return NULL;
    if (!read_int(args[0], &tokens) || !read_int(args[1], &microusd) || !read_double(args[2], &now)
        || !is_moderate(tokens) || !is_moderate(microusd)
        || !end_of(self, tokens, microusd, now, &end))
        return settle_otherwise(self, args);
    if (!bring_about(self, &end))
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef held_methods[] = {
    {"settle", (PyCFunction)(void (*)(void))held_settle, METH_FASTCALL,
     "settle(tokens, microusd, now): replaces what was reserved by what was used. Once."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject HeldType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "headrace.compiled._steps.Held",
    .tp_doc = "What one call holds of its caller's limits.",
    .tp_basicsize = sizeof(Held),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = (destructor)held_dealloc,
    .tp_methods = held_methods,
};
