/* Leftovers: see leftovers.h. */
#include "cli/leftovers.h"

#include "base/clock.h"
#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KILLED_AT_ONCE 512

static bool is_inside(const char *path, const char *root, const char *folder)
{
    char prefix[PATHS_ROOM];
    size_t size = strlen(paths_format(prefix, "%s%s", root, folder));

    return strncmp(path, prefix, size) == 0 && (path[size] == '/' || path[size] == '\0');
}

/* Fields 3 (state) and 7 (tty_nr) of proc_pid_stat(5); the name before them may hold anything. */
static bool is_daemon(pid_t pid)
{
    char path[64], line[512], state = 'Z';
    int parent, group, session, terminal = 1;
    FILE *file;
    char *end;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    file = fopen(path, "re");
    if (!file)
        return false;
    line[0] = '\0';
    (void)!fgets(line, sizeof(line), file);
    (void)fclose(file);
    end = strrchr(line, ')');
    return end &&
           sscanf(end + 1, " %c %d %d %d %d", &state, &parent, &group, &session, &terminal) == 5 &&
           state != 'Z' && state != 'X' && terminal == 0;
}

static bool is_ours(const struct paths *paths, pid_t pid)
{
    char path[64], folder[PATH_MAX];
    struct stat status;
    ssize_t size;

    (void)snprintf(path, sizeof(path), "/proc/%d", pid);
    if (pid == getpid() || stat(path, &status) < 0 || status.st_uid != geteuid())
        return false;
    (void)snprintf(path, sizeof(path), "/proc/%d/cwd", pid);
    size = readlink(path, folder, sizeof(folder) - 1);
    if (size < 0)
        return false;
    folder[size] = '\0';
    return (is_inside(folder, paths->state, "/platform") ||
            is_inside(folder, paths->state, "/tenants") || is_inside(folder, paths->run, "")) &&
           is_daemon(pid);
}

size_t leftovers_find(const struct paths *paths, pid_t *ret_pids, size_t max)
{
    DIR *processes = opendir("/proc");
    const struct dirent *entry;
    size_t count = 0;

    if (!processes)
        return 0;
    while ((entry = readdir(processes))) {
        long pid = strtol(entry->d_name, NULL, 10);

        if (pid > 1 && is_ours(paths, (pid_t)pid)) {
            if (count < max)
                ret_pids[count] = (pid_t)pid;
            count++;
        }
    }
    (void)closedir(processes);
    return count;
}

size_t leftovers_kill(const struct paths *paths, unsigned within_ms)
{
    uint64_t deadline = obs_mono_ns() + within_ms * OBS_NS_PER_MS;
    pid_t pids[KILLED_AT_ONCE];
    size_t count;

    while ((count = leftovers_find(paths, pids, KILLED_AT_ONCE)) > 0) {
        for (size_t i = 0; i < count && i < KILLED_AT_ONCE; i++)
            (void)kill(pids[i], SIGKILL);
        if (obs_mono_ns() > deadline)
            break;
        obs_sleep_ns(10 * OBS_NS_PER_MS);
    }
    return count;
}

char *leftovers_name(pid_t pid, char out[64])
{
    char path[64], name[40] = "?";
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%d/comm", pid);
    file = fopen(path, "re");
    if (file) {
        (void)!fgets(name, sizeof(name), file);
        (void)fclose(file);
    }
    name[strcspn(name, "\n")] = '\0';
    (void)snprintf(out, 64, "%s (%d)", name, pid);
    return out;
}
