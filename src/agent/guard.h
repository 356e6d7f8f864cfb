#pragma once
/*
 * Guard: the agent's own parent, which does nothing but outlive it.
 *
 * Why: when the agent is killed, its processes get their death signal, but what they started does
 * not, and a process that left its session can be found by nobody any more. The guard is a
 * subreaper above the agent: whatever the agent leaves behind becomes the guard's child, so it can
 * end all of it and know when nothing is left (docs/adr/0007-agent-guard.md).
 *
 *   guard (waits) ── agent (works) ── units, each in its session
 *
 * When the guard is killed instead, the agent gets SIGTERM and stops everything in order.
 */

#define GUARD_GRACE_MS 3000 /* for processes to end by their death signal */

/* Call once, before any thread or event loop. Returns in the agent: 0 or -errno. The guard stays
 * inside, and exits with the agent's status. SIGTERM, SIGINT, SIGHUP, SIGQUIT to the guard go on to
 * the agent. */
int guard_enter(void);
