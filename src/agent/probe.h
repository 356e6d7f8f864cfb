#pragma once
/*
 * Probe: one question at a time to a unit: an HTTP request, a connection, or a program.
 *
 * Loop thread only; never blocks.
 */
#include "agent/reaper.h"
#include "agent/unit.h"

struct event_base;
struct probe;

/* @reason: why not, one line; "" when @is_good. Called once per probe_ask(), never from inside it.
 */
typedef void probe_done_fn(bool is_good, const char *reason, void *userdata);

/* @definition, @environment, @directory: borrowed (the latter two for programs). Return: 0,
 * -ENOMEM. */
int probe_new(struct event_base *base, struct reaper *reaper, const struct unit_probe *definition,
              char *const *environment, const char *directory, probe_done_fn *done, void *userdata,
              struct probe **ret_probe);
struct probe *probe_free(struct probe *probe);

void probe_ask(struct probe *probe);    /* nothing when a question is open */
void probe_cancel(struct probe *probe); /* the open question gets no answer */

OBS_DEFINE_CLEANUP(struct probe *, probe_free)
