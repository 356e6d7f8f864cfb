#pragma once
/*
 * Command: runs a program to its end and hands over what it said. For checks and probes.
 *
 * It is killed after its time. Loop thread only, but for command_run().
 */
#include "agent/reaper.h"
#include "base/mailbox.h"
#include "base/reason.h"
#include <stdbool.h>

#define COMMAND_OUTPUT_MAX 4096 /* bytes kept, the last ones */

struct command;

struct command_plan {
    char *const *argv;
    char *const *environment;
    const char *directory;
    unsigned timeout_ms;
};

struct command_result {
    int exit_code; /* 128 + signal when a signal ended it; -1 when it could not be started */
    bool is_timeout;
    char output[COMMAND_OUTPUT_MAX + 1]; /* or why it could not be started */
};

typedef void command_done_fn(const struct command_result *result, void *userdata);

/* @done runs later, on the loop, in any case but after command_cancel(). Return: 0, -ENOMEM,
 * -errno. */
int command_start(struct event_base *base, struct reaper *reaper, const struct command_plan *plan,
                  command_done_fn *done, void *userdata, struct command **ret_command);
struct command *command_cancel(struct command *command); /* kills it; NULL is fine; returns NULL */

/* The last line of a text that is not empty, without its newline, shortened to fit. */
void command_last_line(const char *output, char *out, size_t capacity);
