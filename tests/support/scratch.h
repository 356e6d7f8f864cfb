#pragma once
/*
 * Scratch: a folder of one test, and children that may do what must not happen in the test itself.
 *
 * Everything is here, so that a unit test links nothing but its module.
 */
#include "base/cleanup.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SCRATCH_USED __attribute__((unused)) static

struct scratch {
    char path[64];
    char names[8][128]; /* of scratch_path() */
    unsigned next;
};

static inline int scratch_remove_one(const char *path, const struct stat *st, int type,
                                     struct FTW *ftw)
{
    return remove(path);
}

SCRATCH_USED struct scratch scratch_new(void)
{
    struct scratch s = {.path = "/tmp/observa-test-XXXXXX"};

    if (!mkdtemp(s.path))
        abort();
    return s;
}

SCRATCH_USED void scratch_done(struct scratch *s)
{
    chmod(s->path, 0700);
    nftw(s->path, scratch_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

#define SCRATCH OBS_CLEANUP(scratch_done) struct scratch

/* PATH/name; good for the next seven calls. */
SCRATCH_USED const char *scratch_path(struct scratch *s, const char *name)
{
    char *out = s->names[s->next++ % 8];

    strcpy(stpcpy(stpcpy(out, s->path), "/"), name);
    return out;
}

SCRATCH_USED void scratch_write(const char *path, const void *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    close(fd);
}

SCRATCH_USED unsigned scratch_count(const char *path)
{
    char command[160];
    unsigned count = 0;
    FILE *list;

    snprintf(command, sizeof(command), "ls -A %s | wc -l", path);
    list = popen(command, "re");
    if (!list || fscanf(list, "%u", &count) != 1)
        abort();
    pclose(list);
    return count;
}

/* Run fn in a child; true when it returned true. The child ends by _exit(): no leak checks, no
 * atexit. */
SCRATCH_USED bool scratch_in_child(bool (*fn)(void *), void *userdata)
{
    int status;
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0)
        _exit(fn(userdata) ? 0 : 1);
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

/* In a child: from now on without root's rights over files. */
SCRATCH_USED bool scratch_become_nobody(void)
{
    return geteuid() != 0 || (setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0);
}

/* In a child: make the disk under @path too small for more than @size bytes: a tiny tmpfs of our
 * own when we are root, else a limit on file sizes. Return: the errno that writers will see. */
SCRATCH_USED int scratch_fill_disk(const char *path, size_t size)
{
    struct rlimit limit = {size, size};
    char options[64];

    snprintf(options, sizeof(options), "size=%zu,mode=0777", size);
    if (geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        mount("tmpfs", path, "tmpfs", 0, options) == 0)
        return ENOSPC;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    return EFBIG;
}
