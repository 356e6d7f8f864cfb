#pragma once
/* Judge: what a reply means for its user: cookies, extracted values, checks. Internal to the
 * engine. */
#include "base/http1.h"
#include "load/outcome.h"
#include "load/script.h"

struct user;
struct worker;

struct judge_context {
    struct worker *w;
    struct user *user;
};

enum judge_verdict {
    JUDGE_FINISHED,
    JUDGE_AGAIN, /* the state that the step waits for is not there yet */
};

/* A response_head_fn; @context: struct judge_context. What does not hold sets the user's
 * head_failed. */
void judge_head(const struct obs_http1_head *head, void *context);
bool judge_accepts(const struct step *step, int status);
/* The kept body: the state that is waited for, the checks, what is extracted. *ret_failure is set
 * with JUDGE_FINISHED: FAILURE_NONE or FAILURE_CHECK. */
enum judge_verdict judge_body(struct worker *w, struct user *user, const struct step *step,
                              enum failure *ret_failure);
