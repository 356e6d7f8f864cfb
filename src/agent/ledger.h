#pragma once
/*
 * Ledger: who may be here. A lock lets one agent at a time use a state folder; a file names the
 * processes it runs, so that the next agent can end what an earlier one left when even its guard
 * was killed.
 */
#include "base/reason.h"
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum ledger_outcome {
    LEDGER_OK = 0,
    LEDGER_REFUSED = 1, /* reason set */
};

/**
 * ledger_lock() - take STATE/agent.lock for this process and those it forks
 * @wait_ms: how long to wait for the guard of an agent that is no more; a living agent is refused
 * at once
 *
 * Return: 0, LEDGER_REFUSED (another agent, no permission, disk full: the reason says so).
 */
int ledger_lock(const char *state_path, unsigned wait_ms, int *ret_fd,
                struct obs_reason *reterr_reason);
/* Write this process into the lock, as the living agent. Return: 0, LEDGER_REFUSED. */
int ledger_sign(int lock_fd, const char *state_path, struct obs_reason *reterr_reason);

/* Every process of an agent finds this in its environment, with the state folder as value: a mark
 * that those keep who leave their session and lose their parent. */
#define LEDGER_MARK "OBSERVA_STATE"

struct ledger_entry {
    const char *unit;
    pid_t pid;
    uint64_t start_ticks;
};

/* Write STATE/pids.json anew. Return: 0, -errno. */
int ledger_write(const char *state_path, const struct ledger_entry *entries, size_t count);

/* End all processes that STATE/pids.json names, with their sessions and descendants, and all that
 * carry the mark, and wait until they are gone. @ret_ended: how many there were. Return: 0,
 * LEDGER_REFUSED (one could not be ended). */
int ledger_clean(const char *state_path, size_t *ret_ended, struct obs_reason *reterr_reason);
