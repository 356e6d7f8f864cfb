#include "agent/reaper.h"

#include "agent/proc.h"
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define ORPHANS_MAX 1024 /* seen in one look; the next look sees the rest */

struct watched {
    pid_t pid;
    reaper_fn *fn; /* NULL: forgotten */
    void *userdata;
};

struct reaper {
    struct event *signal;
    struct watched *items;
    size_t count, capacity;
};

static struct watched *find(struct reaper *reaper, pid_t pid)
{
    for (size_t i = 0; i < reaper->count; i++)
        if (reaper->items[i].pid == pid)
            return &reaper->items[i];
    return NULL;
}

static void reap_one(struct reaper *reaper, pid_t pid)
{
    struct watched *found = find(reaper, pid), ended = {0};
    struct rusage usage = {0};
    int status = 0;

    if (found) {
        /* While the zombie holds the number, the group cannot be a stranger's. */
        kill(-pid, SIGKILL);
        ended = *found;
        *found = reaper->items[--reaper->count];
    }
    while (wait4(pid, &status, 0, &usage) < 0 && errno == EINTR)
        ;
    if (ended.fn)
        ended.fn(pid, status, &usage, ended.userdata);
}

static void on_child(evutil_socket_t number, short what, void *userdata)
{
    struct reaper *reaper = userdata;

    for (;;) {
        siginfo_t info = {0};

        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
            return;
        reap_one(reaper, info.si_pid);
    }
}

int reaper_new(struct event_base *base, struct reaper **ret_reaper)
{
    OBS_CLEANUP(reaper_freep) struct reaper *reaper = calloc(1, sizeof(*reaper));

    if (!reaper)
        return -ENOMEM;
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return -errno;
    reaper->signal = evsignal_new(base, SIGCHLD, on_child, reaper);
    if (!reaper->signal || event_add(reaper->signal, NULL) < 0)
        return -ENOMEM;
    *ret_reaper = OBS_TAKE(reaper);
    return 0;
}

struct reaper *reaper_free(struct reaper *reaper)
{
    if (!reaper)
        return NULL;
    if (reaper->signal)
        event_free(reaper->signal);
    free(reaper->items);
    free(reaper);
    return NULL;
}

int reaper_watch(struct reaper *reaper, pid_t pid, reaper_fn *fn, void *userdata)
{
    if (reaper->count == reaper->capacity) {
        size_t capacity = reaper->capacity ? 2 * reaper->capacity : 16;
        struct watched *items = reallocarray(reaper->items, capacity, sizeof(*items));

        if (!items)
            return -ENOMEM;
        reaper->items = items;
        reaper->capacity = capacity;
    }
    reaper->items[reaper->count++] = (struct watched){pid, fn, userdata};
    return 0;
}

void reaper_forget(struct reaper *reaper, pid_t pid)
{
    struct watched *found = find(reaper, pid);

    if (found)
        found->fn = NULL;
}

size_t reaper_kill_orphans(struct reaper *reaper)
{
    pid_t children[ORPHANS_MAX];
    size_t count = proc_children(getpid(), children, ORPHANS_MAX), orphans = 0;

    for (size_t i = 0; i < count; i++) {
        struct proc_stat stat;

        if (find(reaper, children[i]) || proc_stat_read(children[i], &stat) < 0)
            continue;
        if (stat.state != 'Z' && find(reaper, stat.session))
            continue;
        kill(children[i], SIGKILL);
        orphans++;
    }
    return orphans;
}
