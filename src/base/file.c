/* File: see file.h. Write, fsync, rename, fsync of the folder: the order that survives power loss.
 */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define READ_STEP 65536

/* Return: 1 (more may follow), 0 (end), -errno. */
static int read_step(int fd, struct obs_buffer *b)
{
    size_t step = b->limit - b->size < READ_STEP ? b->limit - b->size : READ_STEP;
    char one, *space = &one;
    ssize_t n;
    int r;

    if (step > 0) { /* else the buffer is full: one byte more tells whether the file fits */
        r = obs_buffer_reserve(b, step, &space);
        if (r < 0)
            return r;
    }
    do
        n = read(fd, space, step ? step : 1);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    if (n > 0 && step == 0)
        return b->error = -EMSGSIZE;
    if (step > 0)
        obs_buffer_added(b, (size_t)n);
    return n > 0;
}

int obs_file_read(const char *path, struct obs_buffer *b)
{
    OBS_CLEANUP(obs_closep) int fd = -1;
    size_t before = b->size;
    int r;

    if (b->error)
        return b->error;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    do
        r = read_step(fd, b);
    while (r > 0);
    if (r < 0 && b->data) {
        b->size = before;
        b->data[before] = '\0';
    }
    return r;
}

static int write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        data += n;
        size -= (size_t)n;
    }
    return 0;
}

static int write_durable(const char *path, const void *data, size_t size, mode_t mode)
{
    OBS_CLEANUP(obs_closep)
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);
    int r;

    if (fd < 0)
        return -errno;
    r = write_all(fd, data, size);
    if (r < 0)
        return r;
    if (fchmod(fd, mode) < 0 || fsync(fd) < 0)
        return -errno;
    return close(OBS_TAKE_FD(fd)) < 0 ? -errno : 0;
}

static int open_folder_of(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int fd;

    if (!slash)
        strcpy(folder, ".");
    else if (snprintf(folder, sizeof(folder), "%.*s", slash == path ? 1 : (int)(slash - path),
                      path) >= (int)sizeof(folder))
        return -ENAMETOOLONG;
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int replace_file(const char *path, const void *data, size_t size, mode_t mode)
{
    OBS_CLEANUP(obs_closep) int folder = -1;
    char temporary[PATH_MAX];
    int r;

    if (snprintf(temporary, sizeof(temporary), "%s.tmp-%d", path, gettid()) >=
        (int)sizeof(temporary))
        return -ENAMETOOLONG;
    folder = open_folder_of(path);
    if (folder < 0)
        return folder;
    r = write_durable(temporary, data, size, mode);
    if (r == 0 && rename(temporary, path) < 0)
        r = -errno;
    if (r < 0) {
        unlink(temporary);
        return r;
    }
    /* Some file systems cannot sync a folder; they say EINVAL. */
    return fsync(folder) < 0 && errno != EINVAL ? -errno : 0;
}

int obs_file_write_atomic(const char *path, const void *data, size_t size, mode_t mode,
                          struct obs_reason *reterr_reason)
{
    int r = replace_file(path, data, size, mode);

    if (r < 0)
        obs_reason_set(reterr_reason, "cannot write \"%.150s\": %s", path, strerrordesc_np(-r));
    return r;
}

void obs_file_sweep(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t size = strlen(name);
    int fd = open_folder_of(path);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!folder) {
        obs_closep(&fd);
        return;
    }
    while ((entry = readdir(folder)))
        if (strncmp(entry->d_name, name, size) == 0 &&
            strncmp(entry->d_name + size, ".tmp-", 5) == 0)
            unlinkat(fd, entry->d_name, 0);
    closedir(folder);
}

static int make_folder(const char *path, mode_t mode)
{
    struct stat st;
    int error;

    if (mkdir(path, mode) == 0)
        return 0;
    error = errno; /* EEXIST, or EROFS and EACCES of a folder that is there already */
    if (stat(path, &st) < 0)
        return -error;
    return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int obs_file_mkdirs(const char *path, mode_t mode)
{
    char part[PATH_MAX];
    size_t size = strlen(path);

    if (size == 0)
        return -ENOENT;
    if (size >= sizeof(part))
        return -ENAMETOOLONG;
    memcpy(part, path, size + 1);
    for (size_t i = 1; i <= size; i++) {
        int r;

        if (path[i] != '/' && path[i] != '\0')
            continue;
        part[i] = '\0';
        r = make_folder(part, mode);
        if (r < 0)
            return r;
        part[i] = path[i];
    }
    return 0;
}
