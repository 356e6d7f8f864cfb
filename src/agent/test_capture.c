#include "support/test.h"

#include "agent/capture.h"
#include "base/json.h"
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct rig {
    char folder[40], path[60], before[60];
    struct event_base *base;
    struct capture *capture;
    int fd;
};

static void make(struct rig *rig, enum unit_log_format format, size_t file_bytes)
{
    struct capture_options options = {.service = "web", .format = format, .file_bytes = file_bytes};

    snprintf(rig->folder, sizeof(rig->folder), "/tmp/agent-capture-XXXXXX");
    assert_non_null(mkdtemp(rig->folder));
    snprintf(rig->path, sizeof(rig->path), "%s/web.log", rig->folder);
    snprintf(rig->before, sizeof(rig->before), "%s/web.log.1", rig->folder);
    options.path = rig->path;
    rig->base = event_base_new();
    assert_int_equal(capture_new(rig->base, &options, &rig->capture), 0);
    assert_int_equal(capture_attach(rig->capture, &rig->fd), 0);
}

static void unmake(struct rig *rig)
{
    if (rig->fd >= 0)
        close(rig->fd);
    capture_free(rig->capture);
    event_base_free(rig->base);
    unlink(rig->path);
    unlink(rig->before);
    assert_int_equal(rmdir(rig->folder), 0);
}

static void put(struct rig *rig, const char *text)
{
    assert_int_equal(write(rig->fd, text, strlen(text)), (ssize_t)strlen(text));
    event_base_loop(rig->base, EVLOOP_NONBLOCK);
}

struct seen {
    size_t count;
    char last[2 * CAPTURE_LINE_MAX];
};

static void see(const char *line, size_t size, void *userdata)
{
    struct seen *seen = userdata;

    seen->count++;
    snprintf(seen->last, sizeof(seen->last), "%.*s", (int)size, line);
}

static void wraps_text_as_json(void **state)
{
    struct rig rig;
    struct seen seen = {0};
    OBS_JSON json = NULL;

    make(&rig, UNIT_LOG_TEXT, 0);
    put(&rig, "2026 [error] it is \"broken\"\n");
    capture_tail(rig.capture, 10, see, &seen);
    assert_int_equal(seen.count, 1);
    assert_int_equal(obs_json_parse(seen.last, strlen(seen.last), &json, NULL), 0);
    assert_string_equal(json_string_value(json_object_get(json, "level")), "error");
    assert_string_equal(json_string_value(json_object_get(json, "service")), "web");
    assert_string_equal(json_string_value(json_object_get(json, "message")),
                        "2026 [error] it is \"broken\"");
    unmake(&rig);
}

static void keeps_json_as_it_is_and_joins_pieces(void **state)
{
    struct rig rig;
    struct seen seen = {0};

    make(&rig, UNIT_LOG_JSON, 0);
    put(&rig, "{\"a\":");
    capture_tail(rig.capture, 10, see, &seen);
    assert_int_equal(seen.count, 0);
    put(&rig, "1}\n\n{\"b\":2}\nplain");
    capture_tail(rig.capture, 10, see, &seen);
    assert_int_equal(seen.count, 2);
    assert_string_equal(seen.last, "{\"b\":2}");
    close(rig.fd);
    rig.fd = -1;
    event_base_loop(rig.base, EVLOOP_NONBLOCK);
    capture_tail(rig.capture, 1, see, &seen);
    assert_int_equal(seen.count, 3);
    assert_non_null(strstr(seen.last, "\"message\":\"plain\""));
    unmake(&rig);
}

static void keeps_two_files_of_bounded_size(void **state)
{
    struct rig rig;
    struct stat info;
    char line[101];

    make(&rig, UNIT_LOG_JSON, 10000);
    memset(line, 'x', 100);
    line[0] = '{';
    line[98] = '}';
    line[99] = '\n';
    line[100] = '\0';
    for (int i = 0; i < 500; i++)
        put(&rig, line);
    assert_int_equal(stat(rig.path, &info), 0);
    assert_in_range(info.st_size, 1, 10000);
    assert_int_equal(stat(rig.before, &info), 0);
    assert_in_range(info.st_size, 9000, 10000);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(capture_lost_lines(rig.capture), 0);
    unmake(&rig);
}

static void bounds_memory_and_cuts_long_lines(void **state)
{
    struct rig rig;
    struct seen seen = {0};
    char big[1001];

    make(&rig, UNIT_LOG_TEXT, 0);
    memset(big, 'y', 1000);
    big[1000] = '\0';
    for (int i = 0; i < 100; i++)
        put(&rig, big); /* no newline: 100000 bytes */
    capture_tail(rig.capture, 1000, see, &seen);
    assert_in_range(seen.count, 2, 6);
    for (int i = 0; i < 2000; i++)
        put(&rig, "short\n");
    seen.count = 0;
    capture_tail(rig.capture, 10000, see, &seen);
    assert_int_equal(seen.count, CAPTURE_RING_LINES);
    unmake(&rig);
}

static void follower_gets_new_lines_and_may_leave(void **state)
{
    struct rig rig;
    struct seen seen = {0};
    struct capture_follower *follower;

    make(&rig, UNIT_LOG_TEXT, 0);
    put(&rig, "before\n");
    follower = capture_follow(rig.capture, see, &seen);
    put(&rig, "one\ntwo\n");
    assert_int_equal(seen.count, 2);
    capture_unfollow(follower);
    put(&rig, "three\n");
    assert_int_equal(seen.count, 2);
    unmake(&rig);
}

static void counts_what_a_full_disk_does_not_take(void **state)
{
    struct event_base *base = event_base_new();
    struct capture_options options = {
        .service = "web", .format = UNIT_LOG_TEXT, .path = "/dev/full"};
    struct capture *capture = NULL;
    struct seen seen = {0};
    int fd;

    assert_int_equal(capture_new(base, &options, &capture), 0);
    assert_int_equal(capture_attach(capture, &fd), 0);
    assert_int_equal(write(fd, "a\nb\n", 4), 4);
    event_base_loop(base, EVLOOP_NONBLOCK);
    assert_int_equal(capture_lost_lines(capture), 2);
    capture_tail(capture, 10, see, &seen);
    assert_int_equal(seen.count, 2);
    close(fd);
    capture_free(capture);
    event_base_free(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wraps_text_as_json),
        cmocka_unit_test(keeps_json_as_it_is_and_joins_pieces),
        cmocka_unit_test(keeps_two_files_of_bounded_size),
        cmocka_unit_test(bounds_memory_and_cuts_long_lines),
        cmocka_unit_test(follower_gets_new_lines_and_may_leave),
        cmocka_unit_test(counts_what_a_full_disk_does_not_take),
    };

    return cmocka_run_group_tests_name("capture", tests, NULL, NULL);
}
