#include "support/test.h"

#include "agent/line_text.h"
#include "base/clock.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOON 1795435200ULL /* 2026-11-23 12:00:00 UTC */

static const char *level(const char *line)
{
    return LINE_LEVEL_NAMES[line_text_level(line, strlen(line))];
}

static void reads_the_level_of_nginx(void **state)
{
    assert_string_equal(level("2026/11/23 12:00:00 [error] 7#7: *3 connect() failed"), "error");
    assert_string_equal(level("2026/11/23 12:00:00 [crit] 7#7: *3 open() failed"), "error");
    assert_string_equal(level("2026/11/23 12:00:00 [warn] 7#7: conflicting server name"), "warn");
    assert_string_equal(level("2026/11/23 12:00:00 [notice] 7#7: start worker process"), "info");
    assert_string_equal(level("2026/11/23 12:00:00 [debug] 7#7: epoll"), "debug");
}

static void reads_the_level_of_postgresql(void **state)
{
    assert_string_equal(level("2026-11-23 12:00:00.123 UTC [77] LOG:  ready"), "info");
    assert_string_equal(level("2026-11-23 12:00:00.123 UTC [77] db=solo_orders ERROR:  no"),
                        "error");
    assert_string_equal(level("2026-11-23 12:00:00.123 UTC [77] FATAL:  too many"), "error");
    assert_string_equal(level("2026-11-23 12:00:00.123 UTC [77] WARNING:  hm"), "warn");
    assert_string_equal(level("2026-11-23 12:00:00.123 UTC [77] LOG:  duration: 9 ms ERROR"),
                        "info");
}

static void reads_the_level_of_redis(void **state)
{
    assert_string_equal(level("71:M 23 Nov 2026 12:00:00.123 * Ready to accept"), "info");
    assert_string_equal(level("71:M 23 Nov 2026 12:00:00.123 # WARNING overcommit"), "warn");
    assert_string_equal(level("71:M 23 Nov 2026 12:00:00.123 . client closed"), "debug");
    assert_string_equal(level("71:M 23 Nov 2026 12:00:00.123 - DB 0: 1 keys"), "info");
}

static void reads_the_level_of_rabbitmq_and_logfmt(void **state)
{
    assert_string_equal(level("2026-11-23 12:00:00.1+00:00 [info] <0.1.0> no ERROR here"), "info");
    assert_string_equal(level("2026-11-23 12:00:00.1+00:00 [warning] <0.1.0> x"), "warn");
    assert_string_equal(level("ts=2026-11-23T12:00:00.1Z caller=a.go:1 level=warn msg=x"), "warn");
    assert_string_equal(level("time=\"2026-11-23T12:00:00Z\" level=error msg=\"[info]\""), "error");
    assert_string_equal(level("level=\"debug\" x"), "debug");
}

static void a_line_without_a_level_is_info(void **state)
{
    assert_string_equal(level("INFORMATION about [everything] loglevel=error"), "info");
    assert_string_equal(level("["), "info");
    assert_string_equal(level(""), "info");
    assert_string_equal(level("=ERROR REPORT="), "error");
}

static uint64_t ms_at(const char *line, uint64_t now_ns)
{
    return line_text_time(line, strlen(line), now_ns) / OBS_NS_PER_MS;
}

static void takes_times_with_fractions_as_they_are(void **state)
{
    uint64_t now_ns = NOON * OBS_NS_PER_SECOND + 5 * OBS_NS_PER_SECOND;

    assert_int_equal(ms_at("2026-11-23 12:00:00.123 UTC [7] x", now_ns), NOON * 1000 + 123);
    assert_int_equal(ms_at("2026-11-23 13:00:00.123456+01:00 [info]", now_ns), NOON * 1000 + 123);
    assert_int_equal(ms_at("ts=2026-11-23T12:00:00.123Z level=x", now_ns), NOON * 1000 + 123);
    assert_int_equal(ms_at("time=\"2026-11-23T12:00:01.5Z\"", now_ns), NOON * 1000 + 1500);
    assert_int_equal(ms_at("71:M 23 Nov 2026 12:00:00.123 * R", now_ns), NOON * 1000 + 123);
}

static void prefers_now_to_a_coarse_or_absurd_time(void **state)
{
    uint64_t now_ns = NOON * OBS_NS_PER_SECOND + 700 * OBS_NS_PER_MS;

    assert_int_equal(ms_at("2026/11/23 12:00:00 [error] x", now_ns), NOON * 1000 + 700);
    assert_int_equal(ms_at("2026/11/23 11:59:50 [error] x", now_ns), (NOON - 10) * 1000);
    assert_int_equal(ms_at("1971-11-23 12:00:00.123 UTC x", now_ns), NOON * 1000 + 700);
    assert_int_equal(ms_at("9999-11-23 12:00:00.123 UTC x", now_ns), NOON * 1000 + 700);
    assert_int_equal(ms_at("2026-13-23 12:00:00.123 UTC x", now_ns), NOON * 1000 + 700);
    assert_int_equal(ms_at("2026-11-23 12:00:00.123 x", now_ns), NOON * 1000 + 700);
    assert_int_equal(ms_at("2026-11-23", now_ns), NOON * 1000 + 700);
    assert_int_equal(ms_at("", now_ns), NOON * 1000 + 700);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_level_of_nginx),
        cmocka_unit_test(reads_the_level_of_postgresql),
        cmocka_unit_test(reads_the_level_of_redis),
        cmocka_unit_test(reads_the_level_of_rabbitmq_and_logfmt),
        cmocka_unit_test(a_line_without_a_level_is_info),
        cmocka_unit_test(takes_times_with_fractions_as_they_are),
        cmocka_unit_test(prefers_now_to_a_coarse_or_absurd_time),
    };

    setenv("TZ", "UTC", 1);
    tzset();
    return cmocka_run_group_tests_name("line_text", tests, NULL, NULL);
}
