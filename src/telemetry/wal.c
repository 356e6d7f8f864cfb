#include "telemetry/wal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static const char MAGIC[8] = {'O', 'B', 'S', 'W', 'A', 'L', 0, 1};

struct wal *wal_free(struct wal *wal)
{
    if (wal) {
        if (wal->fd >= 0)
            close(wal->fd);
        free(wal->path);
        free(wal);
    }
    return NULL;
}

int wal_sync_folder(const char *folder)
{
    OBS_CLEANUP(obs_closep) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int wal_new(const char *path, int flags, struct wal **ret_wal)
{
    OBS_CLEANUP(wal_freep) struct wal *wal = calloc(1, sizeof(*wal));

    if (!wal)
        return -ENOMEM;
    wal->fd = -1;
    wal->path = strdup(path);
    if (!wal->path)
        return -ENOMEM;
    wal->fd = open(path, O_RDWR | O_CLOEXEC | flags, 0600);
    if (wal->fd < 0)
        return -errno;
    *ret_wal = OBS_TAKE(wal);
    return 0;
}

int wal_create(const char *path, struct wal **ret_wal)
{
    OBS_CLEANUP(wal_freep) struct wal *wal = NULL;
    OBS_CLEANUP(obs_freep) char *folder = strdup(path);
    int r = folder ? wal_new(path, O_CREAT | O_TRUNC, &wal) : -ENOMEM;

    if (r < 0)
        return r;
    *strrchr(folder, '/') = '\0';
    r = wal_write(wal, MAGIC, sizeof(MAGIC));
    if (r == 0 && fdatasync(wal->fd) < 0)
        r = -errno;
    if (r == 0)
        r = wal_sync_folder(folder);
    if (r < 0) {
        unlink(path);
        return r;
    }
    wal->synced = wal->written;
    *ret_wal = OBS_TAKE(wal);
    return 0;
}

int wal_write(struct wal *wal, const void *frame, size_t size)
{
    const char *at = frame;
    off_t offset = wal->written;

    if (wal->is_broken)
        return -EIO;
    while (size > 0) {
        ssize_t n = pwrite(wal->fd, at, size, offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int r = n < 0 ? -errno : -ENOSPC;

            if (ftruncate(wal->fd, wal->written) < 0)
                wal->is_broken = true;
            return r;
        }
        at += n;
        offset += n;
        size -= (size_t)n;
    }
    wal->written = offset;
    return 0;
}

void wal_cut(struct wal *wal)
{
    if (ftruncate(wal->fd, wal->synced) < 0)
        wal->is_broken = true;
    wal->written = wal->synced;
}

/* ---- replay ---- */

static bool read_at(int fd, void *data, size_t size, off_t offset)
{
    char *at = data;

    while (size > 0) {
        ssize_t n = pread(fd, at, size, offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        offset += n;
        size -= (size_t)n;
    }
    return true;
}

/* The frame at @offset, checked. Return: its bytes, or NULL; *ret_size is what its head claims, 0
 * when that cannot be. */
static uint8_t *read_frame(int fd, off_t offset, off_t end, size_t *ret_size)
{
    uint32_t head[2];
    uint8_t *frame;

    *ret_size = 0;
    if (end - offset < ROW_FRAME_SIZE + ROW_HEAD_SIZE || !read_at(fd, head, sizeof(head), offset) ||
        head[0] < ROW_HEAD_SIZE || head[0] > end - offset - ROW_FRAME_SIZE)
        return NULL;
    *ret_size = ROW_FRAME_SIZE + (size_t)head[0];
    frame = malloc(*ret_size);
    if (frame && read_at(fd, frame, *ret_size, offset) &&
        bytes_crc32c(frame + ROW_FRAME_SIZE, head[0]) == head[1])
        return frame;
    free(frame);
    return NULL;
}

static bool is_frame(int fd, off_t offset, off_t end)
{
    size_t size;
    uint8_t *frame = read_frame(fd, offset, end, &size);

    free(frame);
    return frame != NULL;
}

static int replay(struct wal *wal, off_t end, struct head *head, struct wal_replay *result)
{
    wal->written = sizeof(MAGIC);
    for (;;) {
        struct row_batch *batch = NULL;
        size_t size;
        uint8_t *frame = read_frame(wal->fd, wal->written, end, &size);
        int r = frame ? row_batch_open(frame, size, &batch) : -EBADMSG;

        if (r < 0)
            free(frame);
        if (r == -ENOMEM)
            return r;
        if (r < 0 && (size == 0 || !is_frame(wal->fd, wal->written + (off_t)size, end)))
            return 0;
        wal->written += (off_t)size;
        if (r < 0) {
            result->damaged_frames++;
        } else {
            batch->log_end = wal->written;
            head_add(head, batch);
            result->batches++;
        }
    }
}

int wal_open(const char *path, struct head *head, struct wal **ret_wal,
             struct wal_replay *ret_replay)
{
    OBS_CLEANUP(wal_freep) struct wal *wal = NULL;
    struct stat st;
    char magic[sizeof(MAGIC)];
    int r = wal_new(path, 0, &wal);

    *ret_replay = (struct wal_replay){0};
    if (r == 0 && fstat(wal->fd, &st) < 0)
        r = -errno;
    if (r < 0)
        return r;
    if (!read_at(wal->fd, magic, sizeof(magic), 0) || memcmp(magic, MAGIC, sizeof(magic)) != 0)
        return -EBADMSG;
    r = replay(wal, st.st_size, head, ret_replay);
    if (r < 0)
        return r;
    wal->synced = wal->written;
    ret_replay->torn_bytes = (uint64_t)(st.st_size - wal->written);
    if (ret_replay->torn_bytes > 0)
        wal_cut(wal);
    *ret_wal = OBS_TAKE(wal);
    return 0;
}
