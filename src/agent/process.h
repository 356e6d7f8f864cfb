#pragma once
/*
 * Process: starts a program in a session of its own, with nothing inherited but what is said here.
 *
 * The program gets @death_signal when this agent's loop thread ends, so it must be started from
 * there.
 */
#include "base/reason.h"
#include <sys/types.h>

struct process_plan {
    char *const *argv; /* argv[0] without "/" is searched in PATH */
    char *const *environment;
    const char *directory;
    int output_fd; /* standard output and error; borrowed */
    int death_signal;
};

enum process_outcome {
    PROCESS_OK = 0,
    PROCESS_REFUSED = 1, /* not started; reason says why */
};

/* What fails after the fork (chdir, exec) is said on @output_fd and ends the child with status 127
 * or 126. Return: 0, PROCESS_REFUSED. */
int process_spawn(const struct process_plan *plan, pid_t *ret_pid,
                  struct obs_reason *reterr_reason);
