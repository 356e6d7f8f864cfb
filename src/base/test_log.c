#include "support/test.h"

#include "base/json.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static struct {
    int saved, out; /* the test's own standard output; where lines arrive */
} capture;

static void begin_capture_on(const int fds[2])
{
    fflush(stdout);
    capture.saved = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    assert_true(capture.saved >= 0 && dup2(fds[1], STDOUT_FILENO) == STDOUT_FILENO);
    close(fds[1]);
    capture.out = fds[0];
    obs_log_setup("orders", "1.2", OBS_LOG_INFO);
}

static void begin_capture(void)
{
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    begin_capture_on(fds);
}

static int end_capture(void **state)
{
    if (capture.saved > 0) {
        dup2(capture.saved, STDOUT_FILENO);
        close(capture.saved);
        close(capture.out);
    }
    memset(&capture, 0, sizeof(capture));
    obs_log_set_trace(NULL, NULL);
    return 0;
}

/* Next line as JSON; every line ends in a newline and is one object. Call after the lines are
 * there. */
static json_t *next_line(void)
{
    char line[OBS_LOG_LINE_MAX + 1];
    struct obs_reason why;
    json_t *json = NULL;
    size_t size = 0;

    do
        assert_int_equal(read(capture.out, line + size, 1), 1);
    while (line[size++] != '\n' && size < sizeof(line));
    assert_in_range(size, 2, OBS_LOG_LINE_MAX);
    if (obs_json_parse(line, size, &json, &why) != 0)
        fail_msg("%s in %.*s", why.text, (int)size, line);
    assert_true(json_is_object(json));
    return json;
}

static const char *text_of(const json_t *json, const char *name)
{
    return json_string_value(json_object_get(json, name));
}

static void a_line_is_one_json_object_with_its_fields(void **state)
{
    OBS_JSON line = NULL;

    begin_capture();
    obs_log(OBS_LOG_WARN, "order \"created\"\n", OBS_TEXT("order_id", "o\t1"), OBS_INT("lines", -3),
            OBS_NUMBER("ratio", 0.2), OBS_BOOL("is_new", true), OBS_TEXT("none", NULL),
            OBS_NUMBER("nan", NAN));
    line = next_line();
    assert_string_equal(text_of(line, "level"), "warn");
    assert_string_equal(text_of(line, "service"), "orders");
    assert_string_equal(text_of(line, "version"), "1.2");
    assert_string_equal(text_of(line, "message"), "order \"created\"\n");
    assert_string_equal(text_of(line, "order_id"), "o\t1");
    assert_int_equal(json_integer_value(json_object_get(line, "lines")), -3);
    assert_true(json_real_value(json_object_get(line, "ratio")) == 0.2);
    assert_true(json_is_true(json_object_get(line, "is_new")));
    assert_true(json_is_null(json_object_get(line, "none")));
    assert_true(json_is_null(json_object_get(line, "nan")));
    assert_int_equal(strlen(text_of(line, "time")), 27);
    assert_null(json_object_get(line, "trace_id"));
    assert_null(json_object_get(line, "truncated"));
}

static void a_thread_with_a_trace_logs_its_ids(void **state)
{
    OBS_JSON first = NULL;
    OBS_JSON second = NULL;

    begin_capture();
    obs_log_set_trace("0123456789abcdef0123456789abcdef", "0123456789abcdef");
    obs_log(OBS_LOG_INFO, "inside");
    obs_log_set_trace(NULL, NULL);
    obs_log(OBS_LOG_INFO, "outside");
    first = next_line();
    second = next_line();
    assert_string_equal(text_of(first, "trace_id"), "0123456789abcdef0123456789abcdef");
    assert_string_equal(text_of(first, "span_id"), "0123456789abcdef");
    assert_null(json_object_get(second, "trace_id"));
}

static void lines_below_the_level_are_not_written(void **state)
{
    OBS_JSON first = NULL;
    OBS_JSON second = NULL;
    enum obs_log_level level;

    begin_capture();
    obs_log(OBS_LOG_DEBUG, "silent");
    obs_log(OBS_LOG_INFO, "first");
    obs_log_set_level(OBS_LOG_ERROR);
    obs_log(OBS_LOG_WARN, "silent");
    obs_log_set_version("1.3");
    obs_log(OBS_LOG_ERROR, "second");
    first = next_line();
    second = next_line();
    assert_string_equal(text_of(first, "message"), "first");
    assert_string_equal(text_of(second, "message"), "second");
    assert_string_equal(text_of(second, "version"), "1.3");
    assert_int_equal(obs_log_level_parse("debug", &level), 0);
    assert_int_equal(level, OBS_LOG_DEBUG);
    assert_int_equal(obs_log_level_parse("Debug", &level), -EINVAL);
    assert_int_equal(obs_log_level_parse("", &level), -EINVAL);
}

/* Whatever is too long, the line stays one whole JSON object and keeps the trace. */
static void long_lines_are_cut_but_stay_json(void **state)
{
    static char text[3 * OBS_LOG_LINE_MAX];
    static const char *const fillers[] = {"x", "\"", "\n", "\x01", "\xE2\x82\xAC", "\xFF"};

    begin_capture();
    obs_log_set_trace("0123456789abcdef0123456789abcdef", "0123456789abcdef");
    for (size_t f = 0; f < sizeof(fillers) / sizeof(fillers[0]); f++) {
        for (size_t size = 3900; size < 4200; size += 7) {
            OBS_JSON in_field = NULL;
            OBS_JSON in_message = NULL;

            text[0] = '\0';
            for (size_t i = 0, step = strlen(fillers[f]); i < size; i += step)
                memcpy(text + i, fillers[f], step + 1);
            obs_log(OBS_LOG_INFO, "short", OBS_TEXT("long", text), OBS_INT("after", 1));
            in_field = next_line();
            assert_true(json_is_true(json_object_get(in_field, "truncated")));
            assert_non_null(text_of(in_field, "trace_id"));
            obs_log(OBS_LOG_INFO, text, OBS_INT("after", 1));
            in_message = next_line();
            assert_true(json_is_true(json_object_get(in_message, "truncated")));
            assert_non_null(text_of(in_message, "span_id"));
            assert_int_equal(json_integer_value(json_object_get(in_message, "after")), 1);
        }
    }
}

static void a_full_pipe_drops_lines_and_counts_them(void **state)
{
    uint64_t before = obs_log_dropped();
    unsigned written = 0, sent = 2000;
    struct pollfd more;

    begin_capture();
    for (unsigned i = 0; i < sent; i++)
        obs_log(OBS_LOG_INFO,
                "a line of about one hundred bytes to fill the pipe with"); /* returns */
    more = (struct pollfd){.fd = capture.out, .events = POLLIN};
    while (poll(&more, 1, 0) == 1) {
        json_decref(next_line());
        written++;
    }
    assert_true(obs_log_dropped() > before);
    assert_int_equal(written + (obs_log_dropped() - before), sent);
    obs_log(OBS_LOG_INFO, "again");
    json_decref(next_line());
}

static void a_closed_pipe_is_counted_not_fatal(void **state)
{
    uint64_t before = obs_log_dropped();
    int fds[2];

    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    begin_capture_on(fds);
    close(capture.out);
    capture.out = open("/dev/null", O_RDONLY | O_CLOEXEC);
    errno = 42;
    obs_log(OBS_LOG_INFO, "to nobody");
    assert_int_equal(errno, 42);
    assert_int_equal(obs_log_dropped() - before, 1);
}

static void a_full_disk_is_counted_not_fatal(void **state)
{
    uint64_t before = obs_log_dropped();
    int fds[2] = {open("/dev/null", O_RDONLY | O_CLOEXEC), open("/dev/full", O_WRONLY | O_CLOEXEC)};

    begin_capture_on(fds);
    obs_log(OBS_LOG_INFO, "to a full disk");
    assert_int_equal(obs_log_dropped() - before, 1);
}

static int flags_of_stdout_on(int fds_0, int fds_1)
{
    int flags;

    begin_capture_on((const int[]){fds_0, fds_1});
    flags = fcntl(STDOUT_FILENO, F_GETFL);
    end_capture(NULL);
    return flags;
}

static void only_pipes_and_sockets_become_non_blocking(void **state)
{
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_true(flags_of_stdout_on(fds[0], fds[1]) & O_NONBLOCK);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_true(flags_of_stdout_on(fds[0], fds[1]) & O_NONBLOCK);
    fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    fds[1] = open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    assert_false(flags_of_stdout_on(fds[0], fds[1]) & O_NONBLOCK);
}

#define THREADS 4
#define LINES 100

static void *log_often(void *userdata)
{
    char filler[1500];

    memset(filler, 'a' + *(int *)userdata, sizeof(filler));
    filler[sizeof(filler) - 1] = '\0';
    for (int i = 0; i < LINES; i++)
        obs_log(OBS_LOG_INFO, "from a thread", OBS_TEXT("filler", filler));
    return NULL;
}

static void lines_of_several_threads_never_mix(void **state)
{
    pthread_t threads[THREADS];
    int numbers[THREADS], size = 1 << 20;

    begin_capture();
    assert_true(fcntl(capture.out, F_SETPIPE_SZ, size) >= 0);
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, log_often, &numbers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS * LINES; i++) {
        OBS_JSON line = next_line();
        const char *filler = text_of(line, "filler");

        assert_int_equal(strlen(filler), 1499);
        assert_int_equal(strspn(filler, (const char[]){filler[0], '\0'}), 1499);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_line_is_one_json_object_with_its_fields, end_capture),
        cmocka_unit_test_teardown(a_thread_with_a_trace_logs_its_ids, end_capture),
        cmocka_unit_test_teardown(lines_below_the_level_are_not_written, end_capture),
        cmocka_unit_test_teardown(long_lines_are_cut_but_stay_json, end_capture),
        cmocka_unit_test_teardown(a_full_pipe_drops_lines_and_counts_them, end_capture),
        cmocka_unit_test_teardown(a_closed_pipe_is_counted_not_fatal, end_capture),
        cmocka_unit_test_teardown(a_full_disk_is_counted_not_fatal, end_capture),
        cmocka_unit_test_teardown(only_pipes_and_sockets_become_non_blocking, end_capture),
        cmocka_unit_test_teardown(lines_of_several_threads_never_mix, end_capture),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
