#pragma once
/*
 * Proc: what the kernel says about processes (/proc, proc(5)): who they are, whose they are, what
 * they use.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROC_TREE_MAX 4096 /* processes of one walk; more are not counted */

struct proc_stat {
    pid_t pid, parent, session;
    char state;           /* 'R', 'S', … 'Z' */
    uint64_t start_ticks; /* since boot: with the pid it names a process for good */
    uint64_t cpu_ticks;   /* its own and of children it has waited for */
    char name[16];
};

/* Return: 0, -ESRCH (no such process, or no line of its own). */
int proc_stat_read(pid_t pid, struct proc_stat *ret_stat);

/* Resident bytes that are not shared file pages or shared memory: what only its end would free. */
uint64_t proc_private_bytes(pid_t pid);

/* Direct children, up to @capacity. Return: their number. */
size_t proc_children(pid_t pid, pid_t *ret_children, size_t capacity);

/* @pid and all its descendants, each parent before its children; those in another session than
 * @session are left out with all below them when @session > 0. Return: their number. */
size_t proc_tree(pid_t pid, pid_t session, pid_t *ret_pids, size_t capacity);

/* Is it this very process, not a later one with its number, and more than a zombie? */
bool proc_is_alive(pid_t pid, uint64_t start_ticks);

double proc_ticks_to_seconds(uint64_t ticks);
uint64_t proc_start_ns(uint64_t start_ticks); /* Unix time */
