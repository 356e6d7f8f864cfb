#pragma once
/* Outcome: how a journey ended for its user, and why it failed. */

#define OUTCOMES(ROW)                                                                              \
    ROW(OK, "ok")           /* every step answered, every check holds */                           \
    ROW(ERROR, "error")     /* no answer, or a status that the step does not accept */             \
    ROW(TIMEOUT, "timeout") /* no complete answer in time, or a poll that never came true */       \
    ROW(WRONG, "wrong")     /* answered, but a check does not hold */

enum outcome {
#define OUTCOME_ENUM(id, text) OUTCOME_##id,
    OUTCOMES(OUTCOME_ENUM)
#undef OUTCOME_ENUM
        OUTCOME_COUNT
};

/*  identifier, name in reports, meaning, outcome it leads to */
#define FAILURES(ROW)                                                                              \
    ROW(NONE, "none", "", OUTCOME_OK)                                                              \
    ROW(REFUSED, "connect", "the target could not be connected to", OUTCOME_ERROR)                 \
    ROW(CLOSED, "closed", "the connection ended before the reply did", OUTCOME_ERROR)              \
    ROW(MALFORMED, "malformed", "the reply was not valid HTTP", OUTCOME_ERROR)                     \
    ROW(TOO_LARGE, "too_large", "the reply was over a size limit", OUTCOME_ERROR)                  \
    ROW(TLS, "tls", "TLS failed", OUTCOME_ERROR)                                                   \
    ROW(STATUS, "status", "the status was none the step accepts", OUTCOME_ERROR)                   \
    ROW(LOCAL, "local", "this machine lacked memory, ports or descriptors", OUTCOME_ERROR)         \
    ROW(TIMEOUT, "timeout", "the reply did not come in time", OUTCOME_TIMEOUT)                     \
    ROW(POLL, "poll", "the awaited state did not come in time", OUTCOME_TIMEOUT)                   \
    ROW(CHECK, "check", "a check did not hold", OUTCOME_WRONG)

enum failure {
#define FAILURE_ENUM(id, ...) FAILURE_##id,
    FAILURES(FAILURE_ENUM)
#undef FAILURE_ENUM
        FAILURE_COUNT
};

const char *outcome_name(enum outcome outcome);
const char *failure_name(enum failure failure);
const char *failure_meaning(enum failure failure);
enum outcome failure_outcome(enum failure failure);
