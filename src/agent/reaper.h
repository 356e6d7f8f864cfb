#pragma once
/*
 * Reaper: learns of the end of every process below the agent, and reaps it.
 *
 * The agent is a subreaper (prctl(2)), so processes whose parent died come to it too: orphans. An
 * orphan in the session of a watched process belongs to that one. Others are what a dead unit left
 * behind; they are killed before anything is started again.
 *
 * Loop thread only. One per process.
 */
#include "base/cleanup.h"
#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

struct event_base;
struct reaper;

/* @status as from wait(2); @usage: of the process and the children it had waited for. */
typedef void reaper_fn(pid_t pid, int status, const struct rusage *usage, void *userdata);

int reaper_new(struct event_base *base, struct reaper **ret_reaper); /* 0, -ENOMEM, -errno */
struct reaper *reaper_free(struct reaper *reaper);

/* Tell @fn once when @pid, a child that leads its own session, has ended. What is left in its
 * process group then has been sent SIGKILL. Return: 0, -ENOMEM. */
int reaper_watch(struct reaper *reaper, pid_t pid, reaper_fn *fn, void *userdata);
/* Nobody wants to know any more; the process is reaped all the same. */
void reaper_forget(struct reaper *reaper, pid_t pid);

/* SIGKILL to every orphan that belongs to no watched process. Return: how many there are; call
 * again until it is 0. */
size_t reaper_kill_orphans(struct reaper *reaper);

OBS_DEFINE_CLEANUP(struct reaper *, reaper_free)
