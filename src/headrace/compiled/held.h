/* What one call holds of its caller's limits, and the counts that it is taken from. */
#ifndef HEADRACE_HELD_H
#define HEADRACE_HELD_H

#include "steps.h"

/* Of `one_of_each.Few`: what stands where. */
enum { REQUESTS, CALLED, ROOM_S, TOKENS, USED, LIMIT, RUNNING, BUDGET, KEPT, BUDGET_FILE, FEW };

/* What a call must know to give back what it does not use; see `gcra.Stake`. */
typedef struct {
    double began, own, returned;
    int64_t reserved_tokens;
    int64_t amount; /* reserved of the budget */
    double period;  /* the end of the one that it was reserved in */
    bool in_usd;
} Stake;

typedef struct {
    PyObject_HEAD
    Steps *steps;
    PyObject *few;
    Stake stake;
} Held;

PyObject *held_of(Steps *steps, PyObject *few, const Stake *stake);

/* A budget's, and where in its file they stand; NULL if it has none. */
typedef struct {
    int64_t spent, reserved;
    double ends_at;
    char *place;
} Sums;

bool sums_of(const Steps *steps, PyObject *const *few, Sums *sums);
void write_sums(const Sums *sums);

#endif
