#include "load/outcome.h"

const char *outcome_name(enum outcome outcome)
{
    static const char *const names[] = {
#define OUTCOME_TEXT(id, text) text,
        OUTCOMES(OUTCOME_TEXT)
#undef OUTCOME_TEXT
    };

    return names[outcome];
}

static const struct {
    const char *name, *meaning;
    enum outcome outcome;
} FAILURE_ROWS[] = {
#define FAILURE_ROW(id, name, meaning, outcome) {name, meaning, outcome},
    FAILURES(FAILURE_ROW)
#undef FAILURE_ROW
};

const char *failure_name(enum failure failure)
{
    return FAILURE_ROWS[failure].name;
}

const char *failure_meaning(enum failure failure)
{
    return FAILURE_ROWS[failure].meaning;
}

enum outcome failure_outcome(enum failure failure)
{
    return FAILURE_ROWS[failure].outcome;
}
