#pragma once
/*
 * Process: a real program under test, its output, and its end.
 *
 * The child dies with the test (PR_SET_PDEATHSIG). A thread reads its standard output and error, so
 * a test can wait for a line instead of a time.
 */
#include "base/cleanup.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct fixture_process;

struct fixture_process_options {
    const char *const *argv;        /* ends with NULL; argv[0] is the path */
    const char *const *environment; /* more "NAME=VALUE", ends with NULL; NULL: none */
    const char *user;               /* run as this user when we are root; NULL: as we are */
    const char *folder;             /* working folder; NULL: ours */
};

/* Return: 0 or -errno. Fails the test only through the caller's assert. */
int fixture_process_start(const struct fixture_process_options *options,
                          struct fixture_process **ret_process);
/* SIGTERM, then SIGKILL after 10 s. Returns NULL; its output is gone with it. */
struct fixture_process *fixture_process_free(struct fixture_process *process);

/* Wait until the output so far contains @text. False: it ended, or @timeout_ms passed (the output
 * is printed to standard error). */
bool fixture_process_wait_for(struct fixture_process *process, const char *text,
                              unsigned timeout_ms);
/* How often @text stands in the output so far. */
unsigned fixture_process_count(struct fixture_process *process, const char *text);
/* Copy of the output so far; free() it. */
char *fixture_process_output(struct fixture_process *process);

pid_t fixture_process_pid(const struct fixture_process *process);
void fixture_process_signal(struct fixture_process *process, int number);
/* Wait for its end. Return: exit status, 128 + signal, or -ETIMEDOUT. */
int fixture_process_wait(struct fixture_process *process, unsigned timeout_ms);
/* Start, wait for the end, free: exit status or -errno. @ret_output (may be NULL): free() it. */
int fixture_process_run(const struct fixture_process_options *options, unsigned timeout_ms,
                        char **ret_output);

/* A new folder below /tmp that @user may use; the name is short enough for unix sockets. */
int fixture_folder_new(const char *user, char ret_path[64]);
void fixture_folder_remove(const char *path); /* with all that is inside */

OBS_DEFINE_CLEANUP(struct fixture_process *, fixture_process_free)
