/* Writing and mending; reading is profile_scan.c. */
#include "telemetry/profile_file.h"

#include "base/file.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct profile_file *profile_file_free(struct profile_file *file)
{
    if (!file)
        return NULL;
    if (file->fd >= 0)
        close(file->fd);
    profile_names_free(file->names);
    profile_names_free(file->series);
    free(file);
    return NULL;
}

static int sync_folder(const char *folder)
{
    OBS_CLEANUP(obs_closep) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static struct profile_file *file_alloc(void)
{
    struct profile_file *file = calloc(1, sizeof(*file));

    if (file) {
        file->fd = -1;
        file->refs = 1;
        file->from_ns = UINT64_MAX;
    }
    return file;
}

static int begin(struct profile_file *file, const char *folder)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer header = OBS_BUFFER_INIT(PROFILE_FILE_HEADER);
    int r;

    profile_file_header_emit(&header);
    r = header.error ? header.error : profile_file_write(file, &header);
    return r < 0 ? r : sync_folder(folder);
}

int profile_file_new(const char *folder, uint64_t born_ns, unsigned number, size_t names_bytes_max,
                     struct profile_file **ret_file)
{
    OBS_CLEANUP(profile_file_freep) struct profile_file *file = file_alloc();
    int size, r;

    if (!file)
        return -ENOMEM;
    size = snprintf(file->path, sizeof(file->path), "%s/%012llu-%06u.prof", folder,
                    (unsigned long long)(born_ns / 1000000000), number);
    if (size < 0 || (size_t)size >= sizeof(file->path))
        return -ENAMETOOLONG;
    file->born_ns = born_ns;
    r = profile_names_new(names_bytes_max, &file->names);
    if (r == 0)
        r = profile_names_new(names_bytes_max, &file->series);
    if (r < 0)
        return r;
    file->fd = open(file->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file->fd < 0)
        return -errno;
    r = begin(file, folder);
    if (r < 0) {
        unlink(file->path);
        return r;
    }
    *ret_file = OBS_TAKE(file);
    return 0;
}

int profile_file_write(struct profile_file *file, const struct obs_buffer *b)
{
    size_t done = 0;

    while (done < b->size) {
        ssize_t n = pwrite(file->fd, b->data + done, b->size - done, (off_t)(file->size + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int error = n < 0 ? -errno : -EIO;

            /* What is left behind the size is what recovery takes for cut short. */
            if (ftruncate(file->fd, (off_t)file->size) < 0)
                return error;
            return error;
        }
        done += (size_t)n;
    }
    file->size += b->size;
    return 0;
}

void profile_file_close(struct profile_file *file)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer end = OBS_BUFFER_INIT(4096);
    struct profile_frame frame = {.type = FRAME_END};

    if (!file->error && profile_frame_emit(&end, &frame, "", 0) == 0)
        (void)profile_file_write(file, &end); /* without it: mended like after a crash */
    file->names = profile_names_free(file->names);
    file->series = profile_names_free(file->series);
}

/* ---- encoding ---- */

struct encoder {
    struct profile_file *file;
    struct obs_buffer payload;
    uint32_t *numbers; /* of a tree's names in the file; UINT32_MAX: not yet */
    size_t number_room;
};

static int encode_labels(struct encoder *e, const struct profile_view *profile)
{
    struct profile_names *names = e->file->names;

    obs_buffer_clear(&e->payload);
    profile_varint_emit(&e->payload, profile->label_count);
    for (size_t i = 0; i < profile->label_count; i++) {
        uint32_t name, value;
        int r = profile_names_put(names, profile->labels[i].name, &name);

        if (r == 0)
            r = profile_names_put(names, profile->labels[i].value, &value);
        if (r < 0)
            return r;
        profile_varint_emit(&e->payload, name);
        profile_varint_emit(&e->payload, value);
    }
    return e->payload.error;
}

static int number_names(struct encoder *e, const struct profile_tree *tree)
{
    size_t count = profile_tree_names(tree);
    uint32_t *numbers;

    if (count > e->number_room) {
        numbers = realloc(e->numbers, count * sizeof(*numbers));
        if (!numbers)
            return -ENOMEM;
        e->numbers = numbers;
        e->number_room = count;
    }
    for (uint32_t i = 0; i < count; i++) {
        int r = profile_names_put(e->file->names, profile_tree_name(tree, i), &e->numbers[i]);

        if (r < 0)
            return r;
    }
    return 0;
}

static int encode_tree(struct encoder *e, const struct profile_view *profile)
{
    const struct profile_tree *tree = profile->tree;
    uint32_t units;
    int r = number_names(e, tree);

    if (r == 0)
        r = profile_names_put(e->file->names, profile->units, &units);
    if (r < 0)
        return r;
    obs_buffer_clear(&e->payload);
    profile_varint_emit(&e->payload, profile->rate);
    profile_varint_emit(&e->payload, units);
    profile_varint_emit(&e->payload, profile->is_level);
    profile_varint_emit(&e->payload, profile_tree_count(tree) - 1);
    for (uint32_t i = 1; i < profile_tree_count(tree); i++) {
        const struct profile_node *node = profile_tree_at(tree, i);

        profile_varint_emit(&e->payload, i - node->parent);
        profile_varint_emit(&e->payload, e->numbers[node->name]);
        profile_varint_emit(&e->payload, node->self[PROFILE_LEFT]);
    }
    return e->payload.error;
}

static int emit_new_names(struct encoder *e, size_t from, struct obs_buffer *b)
{
    struct profile_frame frame = {.type = FRAME_STRINGS};
    size_t count = profile_names_count(e->file->names);

    if (from == count)
        return 0;
    obs_buffer_clear(&e->payload);
    for (size_t i = from; i < count; i++) {
        struct text_view text = profile_names_at(e->file->names, (uint32_t)i);

        profile_varint_emit(&e->payload, text.size);
        obs_buffer_append(&e->payload, text.text, text.size);
    }
    return e->payload.error ? e->payload.error
                            : profile_frame_emit(b, &frame, e->payload.data, e->payload.size);
}

static int encode_one(struct encoder *e, const struct profile_view *profile, struct obs_buffer *b)
{
    size_t names = profile_names_count(e->file->names);
    size_t series = profile_names_count(e->file->series);
    struct profile_frame frame = {
        .type = FRAME_PROFILE, .from_ns = profile->from_ns, .until_ns = profile->until_ns};
    struct profile_frame series_frame = {.type = FRAME_SERIES};
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer labels = OBS_BUFFER_INIT(65536);
    uint32_t number = 0;
    int r = encode_labels(e, profile);

    if (r == 0)
        r = obs_buffer_append(&labels, e->payload.data, e->payload.size);
    if (r == 0)
        r = profile_names_put(e->file->series, (struct text_view){labels.data, labels.size},
                              &number);
    if (r == 0)
        r = encode_tree(e, profile);
    if (r < 0)
        return r;
    frame.series = number;
    {
        /* Names first: the tree's payload is kept aside meanwhile. */
        struct obs_buffer tree = e->payload;

        e->payload = OBS_BUFFER_INIT(PROFILE_FRAME_RAW_MAX);
        r = emit_new_names(e, names, b);
        if (r == 0 && number == series)
            r = profile_frame_emit(b, &series_frame, labels.data, labels.size);
        if (r == 0)
            r = profile_frame_emit(b, &frame, tree.data, tree.size);
        obs_buffer_done(&tree);
    }
    return r;
}

int profile_file_encode(struct profile_file *file, const struct profile_view *profiles,
                        size_t count, struct obs_buffer *b)
{
    struct encoder e = {.file = file, .payload = OBS_BUFFER_INIT(PROFILE_FRAME_RAW_MAX)};
    int r = 0;

    for (size_t i = 0; i < count && r == 0; i++)
        r = encode_one(&e, &profiles[i], b);
    obs_buffer_done(&e.payload);
    free(e.numbers);
    return r;
}

/* ---- recovery ---- */

struct survey {
    uint64_t good; /* everything before this offset reads well */
    uint64_t from_ns, until_ns;
    size_t profiles;
    bool is_ended;
    int outcome; /* of the last read */
};

static int survey_frames(struct profile_reader *reader, struct survey *s)
{
    struct profile_frame frame;
    int r;

    s->good = profile_reader_offset(reader);
    while ((r = profile_reader_next(reader, &frame)) == PROFILE_READ_OK) {
        r = profile_reader_check(reader);
        if (r != 0)
            break;
        s->good = profile_reader_offset(reader);
        s->is_ended = frame.type == FRAME_END;
        if (frame.type != FRAME_PROFILE)
            continue;
        s->profiles++;
        s->from_ns = frame.from_ns < s->from_ns ? frame.from_ns : s->from_ns;
        s->until_ns = frame.until_ns > s->until_ns ? frame.until_ns : s->until_ns;
    }
    return r < 0 ? r : (s->outcome = r, 0);
}

/* Is there a whole frame behind the damage? Then it is not the torn end of the last write. */
static bool has_frame_behind(const char *path, uint64_t from, uint64_t size)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer all = OBS_BUFFER_INIT(1u << 30);
    OBS_CLEANUP(profile_reader_freep) struct profile_reader *reader = NULL;
    struct profile_frame frame;
    const char *at, *end;

    if (obs_file_read(path, &all) < 0 || all.size <= from ||
        profile_reader_new(path, size, &reader) != 0)
        return false;
    end = all.data + all.size;
    for (at = all.data + from + 1; (at = memmem(at, (size_t)(end - at), "OBPF", 4)); at++) {
        profile_reader_seek(reader, (uint64_t)(at - all.data));
        if (profile_reader_next(reader, &frame) == 0 && profile_reader_check(reader) == 0)
            return true;
    }
    return false;
}

/* Keep a copy of the damaged file for whoever wants to look; then cut. */
static int set_aside(const char *path, uint64_t good)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer all = OBS_BUFFER_INIT(1u << 30);
    struct obs_reason why = {0};
    char aside[600];
    int r;

    snprintf(aside, sizeof(aside), "%s.damaged", path);
    obs_log(OBS_LOG_ERROR, "a profile file is damaged, its readable part is kept",
            OBS_TEXT("file", path), OBS_TEXT("set_aside", aside), OBS_INT("readable_bytes", good));
    if (good <= PROFILE_FILE_HEADER)
        return rename(path, aside) < 0 ? -errno : 0;
    r = obs_file_read(path, &all);
    if (r == 0)
        r = obs_file_write_atomic(aside, all.data, all.size, 0600, &why);
    return r;
}

static int cut(const char *path, uint64_t size)
{
    OBS_CLEANUP(obs_closep) int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || ftruncate(fd, (off_t)size) < 0 || fsync(fd) < 0)
        return -errno;
    return 0;
}

static int mend(const char *path, uint64_t size, const struct survey *s, bool *ret_damaged)
{
    int r = 0;

    *ret_damaged = s->is_ended || has_frame_behind(path, s->good, size) ||
                   (s->good == 0 && size > PROFILE_FILE_HEADER);
    if (*ret_damaged) {
        r = set_aside(path, s->good);
        if (r < 0 || s->good <= PROFILE_FILE_HEADER)
            return r;
    } else if (s->profiles > 0) {
        obs_log(OBS_LOG_WARN, "a write to a profile file was cut short, ignoring its rest",
                OBS_TEXT("file", path), OBS_INT("dropped_bytes", size - s->good));
    }
    return s->profiles > 0 ? cut(path, s->good) : 0;
}

int profile_file_recover(const char *path, struct profile_file **ret_file)
{
    OBS_CLEANUP(profile_reader_freep) struct profile_reader *reader = NULL;
    OBS_CLEANUP(profile_file_freep) struct profile_file *file = file_alloc();
    struct survey s = {.from_ns = UINT64_MAX};
    struct stat st;
    int r;

    if (!file)
        return -ENOMEM;
    if (stat(path, &st) < 0)
        return -errno;
    r = profile_reader_new(path, (uint64_t)st.st_size, &reader);
    s.outcome = r;
    if (r == 0)
        r = survey_frames(reader, &s);
    if (r < 0)
        return r;
    if (s.outcome == PROFILE_READ_DAMAGED) {
        r = mend(path, (uint64_t)st.st_size, &s, &file->is_damaged);
        if (r < 0)
            return r;
    }
    if (s.profiles == 0) {
        (void)unlink(path); /* set aside, or there never was a profile in it */
        return 1;
    }
    (void)snprintf(file->path, sizeof(file->path), "%s", path);
    file->size = file->synced = s.good;
    file->from_ns = s.from_ns;
    file->until_ns = s.until_ns;
    *ret_file = OBS_TAKE(file);
    return 0;
}
