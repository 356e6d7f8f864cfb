#include "agent/proc.h"

#include "base/clock.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The first bytes of a small file of /proc; 0 when it cannot be read. */
static size_t read_start(const char *path, char *data, size_t capacity)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return 0;
    n = read(fd, data, capacity - 1);
    close(fd);
    if (n <= 0)
        return 0;
    data[n] = '\0';
    return (size_t)n;
}

int proc_stat_read(pid_t pid, struct proc_stat *ret_stat)
{
    char path[64], data[1024];
    unsigned long user, system;
    long child_user, child_system;
    unsigned long long start;
    int parent, session;
    char state;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (read_start(path, data, sizeof(data)) == 0)
        return -ESRCH;
    /* The name may hold anything, blanks and parentheses too: the last ")" ends it. */
    char *open_ = strchr(data, '('), *close_ = strrchr(data, ')');
    if (!open_ || !close_ ||
        sscanf(close_ + 1,
               " %c %d %*d %d %*d %*d %*u %*u %*u %*u %*u %lu %lu %ld %ld %*d %*d %*d %*d %llu",
               &state, &parent, &session, &user, &system, &child_user, &child_system, &start) != 8)
        return -ESRCH;
    *ret_stat = (struct proc_stat){.pid = pid,
                                   .parent = parent,
                                   .session = session,
                                   .state = state,
                                   .start_ticks = start,
                                   .cpu_ticks = user + system + (unsigned long)child_user +
                                                (unsigned long)child_system};
    snprintf(ret_stat->name, sizeof(ret_stat->name), "%.*s", (int)(close_ - open_ - 1), open_ + 1);
    return 0;
}

uint64_t proc_private_bytes(pid_t pid)
{
    char path[64], data[256];
    unsigned long long resident, shared;

    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    if (read_start(path, data, sizeof(data)) == 0 ||
        sscanf(data, "%*u %llu %llu", &resident, &shared) != 2 || resident < shared)
        return 0;
    return (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static size_t read_children(const char *path, pid_t *children, size_t count, size_t capacity)
{
    FILE *file = fopen(path, "re");
    int child;

    if (!file)
        return count;
    while (count < capacity && fscanf(file, "%d", &child) == 1)
        children[count++] = child;
    fclose(file);
    return count;
}

size_t proc_children(pid_t pid, pid_t *ret_children, size_t capacity)
{
    char path[64], file[384];
    struct dirent *entry;
    size_t count = 0;
    DIR *tasks;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    tasks = opendir(path);
    if (!tasks)
        return 0;
    while ((entry = readdir(tasks))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(file, sizeof(file), "%s/%s/children", path, entry->d_name);
        count = read_children(file, ret_children, count, capacity);
    }
    closedir(tasks);
    return count;
}

size_t proc_tree(pid_t pid, pid_t session, pid_t *ret_pids, size_t capacity)
{
    size_t count = 1;

    if (capacity == 0)
        return 0;
    ret_pids[0] = pid;
    for (size_t i = 0; i < count; i++) {
        size_t found = proc_children(ret_pids[i], ret_pids + count, capacity - count);
        size_t kept = count;

        for (size_t k = count; k < count + found; k++) {
            struct proc_stat stat;

            if (session > 0 && (proc_stat_read(ret_pids[k], &stat) < 0 || stat.session != session))
                continue;
            ret_pids[kept++] = ret_pids[k];
        }
        count = kept;
    }
    return count;
}

bool proc_is_alive(pid_t pid, uint64_t start_ticks)
{
    struct proc_stat stat;

    return proc_stat_read(pid, &stat) == 0 && stat.start_ticks == start_ticks &&
           stat.state != 'Z' && stat.state != 'X';
}

double proc_ticks_to_seconds(uint64_t ticks)
{
    return (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

uint64_t proc_start_ns(uint64_t start_ticks)
{
    struct timespec boot;

    clock_gettime(CLOCK_BOOTTIME, &boot);
    uint64_t since_boot = (uint64_t)boot.tv_sec * OBS_NS_PER_SECOND + (uint64_t)boot.tv_nsec;
    uint64_t start = start_ticks * (OBS_NS_PER_SECOND / (uint64_t)sysconf(_SC_CLK_TCK));

    return obs_time_ns() - since_boot + start;
}
