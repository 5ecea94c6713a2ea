/* What the steps know: the classes whose objects they read, and texts they look for. */
#ifndef HEADRACE_STEPS_H
#define HEADRACE_STEPS_H

#include "fields.h"

#define BYTES_PER_TOKEN 4 /* `progress.BYTES_PER_TOKEN` and `prompt_size.BYTES_PER_TOKEN` */

enum { CALL_ID, CALL_DIALECT, CALL_OPERATION, CALL_MODEL, CALL_BODY, CALL_STREAM, CALL_CALLER,
       CALL_RECEIVED_AT, CALL_MAX_TOKENS, CALL_MAX_COMPLETION_TOKENS, CALL_N, CALL_TOKENS_BEFORE,
       CALL_HOLD, CALL_RESERVED, CALL_CUT, CALL_PASSED, CALL_STANDING };
enum { CALLER_KEY_ID, CALLER_USER, CALLER_TEAM, CALLER_TENANT, CALLER_TAGS };
enum { PROGRESS_STATUS, PROGRESS_FINISH, PROGRESS_TARGET, PROGRESS_ATTEMPTS,
       PROGRESS_FIRST_CONTENT_AT, PROGRESS_USAGE, PROGRESS_COST_MICROUSD, PROGRESS_PRICED,
       PROGRESS_NUMBER, PROGRESS_ANSWERED_BY, PROGRESS_SAVED_MICROUSD, PROGRESS_CACHE_TIER,
       PROGRESS_REASON, PROGRESS_SENT_UPSTREAM, PROGRESS_BESIDE };
enum { TARGET_NAME, TARGET_SERVICE, TARGET_REGION, TARGET_MODEL };
enum { USAGE_INPUT, USAGE_OUTPUT, USAGE_CACHED, USAGE_REASONING, USAGE_AUDIO_INPUT,
       USAGE_AUDIO_OUTPUT, USAGE_SOURCE, USAGE_CACHE_WRITE, USAGE_UNITS };
enum { RESERVED_INPUT, RESERVED_OUTPUT, RESERVED_COST_MICROUSD };
enum { TERMS_SELLERS, TERMS_LINE, TERMS_UNTIL, TERMS_TWICE };
enum { SELLERS_LONGEST_ANSWER };
enum { LINE_PER_REQUEST, LINE_INPUT, LINE_OUTPUT, LINE_SCALE };
enum { FLAT_PER_REQUEST, FLAT_INPUT, FLAT_OUTPUT, FLAT_CACHED, FLAT_REASONING_MORE, FLAT_SCALE };
enum { RATE_QUOTA, RATE_STEP_S, RATE_BURST_S };
enum { AT_ONCE_MOST };
enum { BUDGET_UNIT, BUDGET_CAP, BUDGET_SOFT };
enum { RATE_STATE_ARRIVAL, RATE_STATE_RETURNED };
enum { AT_ONCE_STATE_RUNNING };
enum { BUDGET_STATE_SLOT, BUDGET_STATE_SPENT, BUDGET_STATE_RESERVED, BUDGET_STATE_ENDS_AT };
enum { BUDGET_FILE_MAP };
enum { LINES_PIECES };
enum { JOURNAL_WINDOW, JOURNAL_AT, JOURNAL_MADE, JOURNAL_NEXT_SEQ };

typedef struct {
    PyObject_HEAD
    Shape call, caller, progress, target, usage, reserved, terms, sellers, line, flat;
    Shape rate, at_once, budget, rate_state, at_once_state, budget_state, budget_file, lines;
    Shape journal;
    PyObject *make_need, *make_settlement, *make_taken;
    PyObject *no_member;
    PyObject *provider, *priced_as, *value; /* names of attributes */
    PyObject *upstream, *nobody, *zero;
} Steps;

/* What one call holds of its caller's limits. */
extern PyTypeObject HeldType;

/* Each returns False or None, having done nothing, where a call needs anything unusual. */
PyObject *steps_admit(Steps *self, PyObject *const *args, Py_ssize_t count);
PyObject *steps_price(Steps *self, PyObject *const *args, Py_ssize_t count);
PyObject *steps_intend(Steps *self, PyObject *const *args, Py_ssize_t count);
PyObject *steps_settle(Steps *self, PyObject *const *args, Py_ssize_t count);

/* Whether so many arguments were given, with an error if not. */
bool counted(Py_ssize_t count, Py_ssize_t wanted);

#endif
