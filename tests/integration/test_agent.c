/* The agent as a supervisor: real processes, real kills. */
#include "support/agent_rig.h"
#include "support/test.h"

#include "base/clock.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *program;

#define RIG __attribute__((cleanup(rig_done))) struct agent_rig

static void starts_in_order_and_stops_in_reverse(void **state)
{
    RIG rig;
    char *text;

    rig_make(&rig, program);
    rig_units(
        &rig,
        "units:\n"
        "  c: {exec: [sh, -c, \"trap 'echo -c >> ${folder}/order; exit' TERM; echo c >> "
        "${folder}/order; while :; do sleep 0.01; done\"], after: [b]}\n"
        "  b: {exec: [sh, -c, \"sleep 0.05; trap 'sleep 0.05; echo -b >> ${folder}/order; exit' "
        "TERM; echo b >> ${folder}/order; : > ${folder}/b.up; while :; do sleep 0.01; done\"], "
        "after: [a], ready: {exec: [test, -e, \"${folder}/b.up\"]}}\n"
        "  a: {kind: task, exec: [sh, -c, \"sleep 0.1; echo a >> ${folder}/order\"]}\n");
    rig_start(&rig);
    rig_wait_state(&rig, "c", "running");
    rig_wait_file(&rig, "order", "c");
    rig_stop(&rig);
    text = rig_read(&rig, "order");
    assert_string_equal(text, "a\nb\nc\n-c\n-b\n");
    free(text);
}

/* A server, a task that prepares it, and who uses it: the task is over, the need is not. */
static void a_unit_outlives_those_who_need_it_by_way_of_a_task(void **state)
{
    RIG rig;
    char *text;

    rig_make(&rig, program);
    rig_units(
        &rig,
        "units:\n"
        "  server: {exec: [sh, -c, \"trap 'echo -server >> ${folder}/order; exit' TERM; : > "
        "${folder}/s.up; while :; do sleep 0.01; done\"], ready: {exec: [test, -e, "
        "\"${folder}/s.up\"]}}\n"
        "  prepare: {kind: task, exec: [\"true\"], after: [server]}\n"
        "  user: {exec: [sh, -c, \"trap 'sleep 0.2; echo -user >> ${folder}/order; exit' TERM; "
        ": > ${folder}/u.up; while :; do sleep 0.01; done\"], after: [prepare], ready: {exec: "
        "[test, -e, \"${folder}/u.up\"]}}\n");
    rig_start(&rig);
    rig_wait_state(&rig, "user", "running");
    rig_wait_file(&rig, "u.up", "");
    rig_stop(&rig);
    text = rig_read(&rig, "order");
    assert_string_equal(text, "-user\n-server\n");
    free(text);
}

static void starts_a_crashed_unit_again_after_growing_pauses(void **state)
{
    RIG rig;
    char *text;
    double times[4];

    rig_make(&rig, program);
    rig_units(
        &rig,
        "units:\n"
        "  a:\n"
        "    exec: [sh, -c, \"date +%s.%N >> ${folder}/starts; test $(wc -l < "
        "${folder}/starts) -gt 3 || exit 7; echo 4th >> ${folder}/starts; exec sleep 1000\"]\n"
        "    restart: {backoff: 60ms}\n");
    rig_start(&rig);
    rig_wait_file(&rig, "starts", "\n");
    while (rig_unit_number(&rig, "a", "restarts") < 3)
        rig_moment();
    rig_wait_file(&rig, "starts", "4th");
    RIG_REPLY reply;
    rig_call(&rig, "GET", "/v1/units/a", NULL, NULL, &reply);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(reply.json, "last_exit"), "code")), 7);
    text = rig_read(&rig, "starts");
    assert_int_equal(sscanf(text, "%lf\n%lf\n%lf\n%lf", &times[0], &times[1], &times[2], &times[3]),
                     4);
    free(text);
    assert_true(times[1] - times[0] >= 0.06);
    assert_true(times[2] - times[1] >= 0.12);
    assert_true(times[3] - times[2] >= 0.24);
}

static void gives_up_a_crash_loop_and_restart_brings_it_back(void **state)
{
    RIG rig;
    RIG_REPLY unit;
    RIG_REPLY ready;

    rig_make(&rig, program);
    rig_units(&rig, "units:\n"
                    "  a:\n"
                    "    exec: [sh, -c, \"echo no luck today; test -e ${folder}/luck && exec sleep "
                    "1000; exit 1\"]\n"
                    "    restart: {backoff: 5ms, limit: 4, window: 1m}\n");
    rig_start(&rig);
    rig_wait_state(&rig, "a", "failed");
    rig_call(&rig, "GET", "/v1/units/a", NULL, NULL, &unit);
    assert_int_equal(json_integer_value(json_object_get(unit.json, "restarts")), 3);
    assert_non_null(strstr(unit.body, "ended 4 times within 60 s"));
    assert_non_null(strstr(unit.body, "no luck today"));
    rig_admin(&rig, "/readyz", &ready);
    assert_int_equal(ready.status, 503);
    assert_non_null(strstr(ready.body, "a is failed"));
    rig_write(&rig, "luck", "");
    assert_int_equal(rig_post(&rig, "/v1/units/a/restart", NULL), 202);
    rig_wait_state(&rig, "a", "running");
}

static void a_killed_unit_comes_back_without_its_old_descendants(void **state)
{
    RIG rig;
    pid_t old;

    rig_make(&rig, program);
    rig_units(&rig, "units:\n"
                    "  a:\n"
                    "    exec: [sh, -c, \"sleep 1000 & setsid sleep 1001 & setsid setsid sh -c "
                    "'trap : TERM HUP; sleep 1002; sleep 1003' & : > ${folder}/up; wait\"]\n"
                    "    ready: {exec: [test, -e, \"${folder}/up\"]}\n"
                    "  other: {exec: [sh, -c, \"sleep 1000 & wait\"]}\n");
    rig_start(&rig);
    rig_wait_state(&rig, "a", "running");
    rig_wait_processes(&rig, 2 + 5 + 2);
    pid_t other = rig_unit_pid(&rig, "other");
    for (int i = 0; i < 3; i++) {
        old = rig_unit_pid(&rig, "a");
        assert_int_equal(kill(old, SIGKILL), 0);
        rig_wait_new_pid(&rig, "a", old);
        rig_wait_processes(&rig, 2 + 5 + 2);
    }
    assert_int_equal(rig_unit_pid(&rig, "other"), other);
    RIG_REPLY reply;
    rig_call(&rig, "GET", "/v1/units/a", NULL, NULL, &reply);
    assert_non_null(strstr(reply.body, "\"signal\":\"KILL\""));
    assert_int_equal(json_integer_value(json_object_get(reply.json, "restarts")), 3);
}

/* Units that do not go by themselves: one ignores TERM, one has a child in another session. */
#define STUBBORN_UNITS                                                                             \
    "units:\n"                                                                                     \
    "  deaf: {exec: [sh, -c, \"trap '' TERM HUP; : > ${folder}/up; while :; do sleep 1; "          \
    "done\"],\n"                                                                                   \
    "         ready: {exec: [test, -e, \"${folder}/up\"]}, stop: {timeout: 200ms}}\n"              \
    "  parent: {exec: [sh, -c, \"setsid sleep 1000 & sleep 1001 & wait\"]}\n"                      \
    "  plain: {exec: [sleep, \"1000\"], sockets: [\"${run}/x.sock\"]}\n"

static void nothing_outlives_a_killed_agent(void **state)
{
    RIG rig;

    rig_make(&rig, program);
    rig_units(&rig, STUBBORN_UNITS);
    rig_start(&rig);
    rig_wait_state(&rig, "deaf", "running");
    rig_wait_processes(&rig, 2 + 2 + 3 + 1);
    assert_int_equal(kill(rig_agent_pid(&rig), SIGKILL), 0);
    assert_int_equal(rig_join(&rig), 128 + SIGKILL);
    assert_int_equal(rig_processes(&rig), 0);
    rig_start(&rig); /* over the stale sockets */
    rig_wait_state(&rig, "plain", "running");
}

static void a_new_agent_waits_until_the_killed_ones_processes_are_gone(void **state)
{
    RIG rig;
    struct agent_rig second;

    rig_make(&rig, program);
    rig_units(&rig, STUBBORN_UNITS);
    rig_start(&rig);
    rig_wait_state(&rig, "deaf", "running");
    pid_t old = rig_unit_pid(&rig, "deaf");
    assert_int_equal(kill(rig_agent_pid(&rig), SIGKILL), 0);
    second = rig;
    second.output = -1;
    rig_start(&second);
    assert_int_equal(kill(old, 0), -1);
    assert_int_equal(rig_join(&rig), 128 + SIGKILL);
    rig_wait_state(&second, "deaf", "running");
    rig_stop(&second);
    close(second.output);
}

static void an_agent_stops_in_order_when_its_guard_is_killed(void **state)
{
    RIG rig;

    rig_make(&rig, program);
    rig_units(&rig, STUBBORN_UNITS);
    rig_start(&rig);
    rig_wait_state(&rig, "deaf", "running");
    assert_int_equal(kill(rig.pid, SIGKILL), 0);
    assert_int_equal(rig_join(&rig), 128 + SIGKILL);
    rig_wait_processes(&rig, 0);
}

static void the_next_agent_ends_what_both_left_behind(void **state)
{
    RIG rig;
    pid_t deaf;

    rig_make(&rig, program);
    rig_units(&rig, STUBBORN_UNITS);
    rig_start(&rig);
    rig_wait_state(&rig, "deaf", "running");
    deaf = rig_unit_pid(&rig, "deaf");
    pid_t agent = rig_agent_pid(&rig);
    kill(rig.pid, SIGSTOP);
    kill(agent, SIGKILL);
    kill(rig.pid, SIGKILL);
    rig_join(&rig);
    assert_int_equal(kill(deaf, 0), 0); /* it ignores its death signal */
    rig_start(&rig);
    rig_wait_state(&rig, "deaf", "running");
    assert_int_not_equal(rig_unit_pid(&rig, "deaf"), deaf);
    rig_wait_file(&rig, "agent.out", "ended processes of an earlier agent");
    rig_wait_processes(&rig, 2 + 2 + 3 + 1);
}

static void refuses_a_second_agent_at_once(void **state)
{
    RIG rig;
    struct agent_rig second;
    uint64_t since;

    rig_make(&rig, program);
    rig_units(&rig, "units:\n  a: {exec: [sleep, \"1000\"]}\n");
    rig_start(&rig);
    second = rig;
    second.output = -1;
    since = obs_mono_ns();
    rig_launch(&second);
    assert_int_equal(rig_join(&second), 1);
    assert_true(obs_mono_ns() - since < 5 * OBS_NS_PER_SECOND);
    close(second.output);
    rig_wait_file(&rig, "agent.out", "another agent (process ");
    rig_wait_state(&rig, "a", "running");
}

static void make_stale_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    close(fd);
}

static void removes_stale_sockets_but_no_other_files(void **state)
{
    RIG rig;
    char path[100];

    rig_make(&rig, program);
    rig_units(&rig, "units:\n"
                    "  a: {exec: [sleep, \"1000\"], sockets: [\"${folder}/a.sock\"]}\n"
                    "  b: {exec: [sleep, \"1000\"], sockets: [\"${folder}/b.sock\"], required: "
                    "false, restart: {backoff: 5ms, limit: 2}}\n");
    snprintf(path, sizeof(path), "%s/a.sock", rig.folder);
    make_stale_socket(path);
    rig_write(&rig, "b.sock", "precious");
    rig_start(&rig);
    rig_wait_state(&rig, "a", "running");
    assert_int_equal(access(path, F_OK), -1);
    rig_wait_state(&rig, "b", "failed");
    RIG_REPLY reply;
    rig_call(&rig, "GET", "/v1/units/b", NULL, NULL, &reply);
    assert_non_null(strstr(reply.body, "not a socket"));
    rig_wait_file(&rig, "b.sock", "precious");
}

static void kills_what_does_not_get_ready_or_hangs(void **state)
{
    RIG rig;
    RIG_REPLY reply;

    rig_make(&rig, program);
    rig_units(
        &rig,
        "units:\n"
        "  late: {exec: [sleep, \"1000\"], ready: {connect: \"unix:${folder}/no.sock\", within: "
        "100ms}, restart: {backoff: 5ms, limit: 2}, required: false}\n"
        "  hung: {exec: [sleep, \"1000\"], liveness: {exec: [test, -e, \"${folder}/alive\"], "
        "interval: 20ms, failures: 2}}\n");
    rig_write(&rig, "alive", "");
    rig_start(&rig);
    rig_wait_state(&rig, "late", "failed");
    rig_call(&rig, "GET", "/v1/units/late", NULL, NULL, &reply);
    assert_non_null(strstr(reply.body, "not ready within 100 ms"));
    pid_t old = rig_unit_pid(&rig, "hung");
    unlinkat(AT_FDCWD, strcat(strcpy((char[100]){0}, rig.folder), "/alive"), 0);
    rig_wait_new_pid(&rig, "hung", old);
    rig_write(&rig, "alive", "");
}

static void stops_a_stopped_process_and_kills_a_deaf_one(void **state)
{
    RIG rig;

    rig_make(&rig, program);
    rig_units(&rig, STUBBORN_UNITS);
    rig_start(&rig);
    rig_wait_state(&rig, "deaf", "running");
    rig_wait_state(&rig, "plain", "running");
    assert_int_equal(rig_post(&rig, "/v1/units/plain/signal", "{\"signal\":\"STOP\"}"), 202);
    assert_int_equal(rig_post(&rig, "/v1/units/plain/stop", NULL), 202);
    assert_int_equal(rig_post(&rig, "/v1/units/deaf/stop", NULL), 202);
    rig_wait_state(&rig, "plain", "stopped");
    rig_wait_state(&rig, "deaf", "stopped");
    assert_int_equal(rig_post(&rig, "/v1/units/plain/signal", "{\"signal\":\"HUP\"}"), 409);
    assert_int_equal(rig_post(&rig, "/v1/units/plain/start", NULL), 202);
    rig_wait_state(&rig, "plain", "running");
}

static void assert_refuses_to_start(struct agent_rig *rig, const char *text)
{
    rig_launch(rig);
    assert_int_equal(rig_join(rig), 1);
    rig_wait_file(rig, "agent.out", text);
}

static void says_clearly_why_it_does_not_start(void **state)
{
    RIG rig;

    rig_make(&rig, program);
    rig_units(&rig, "units:\n  a:\n    exec: [sleep, \"${gone}\"]\n");
    assert_refuses_to_start(&rig, "units.yaml: line 3: a.exec: there is no variable \"gone\"");
    rig_units(&rig, "units: {}\n");
    strcpy(rig.state, "/proc/nowhere");
    assert_refuses_to_start(&rig, "cannot make folder /proc/nowhere");
    snprintf(rig.state, sizeof(rig.state), "%s/units.yaml", rig.folder);
    assert_refuses_to_start(&rig, "units.yaml: ");
    snprintf(rig.state, sizeof(rig.state), "%s/state", rig.folder);
    rig_write(&rig, "public.pem", "no key");
    assert_refuses_to_start(&rig, "not a public key in PEM");
}

/* The agent's words go to a pipe: they could not be written to a file. */
static void says_clearly_that_the_disk_is_full(void **state)
{
    RIG rig;
    char text[2000] = "";
    int ends[2], saved = dup(STDERR_FILENO);
    ssize_t n;

    rig_make(&rig, program);
    rig_units(&rig, "units: {}\n");
    rig.is_files_limited = true;
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    rig_launch(&rig);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[1]);
    assert_int_equal(rig_join(&rig), 1);
    n = read(ends[0], text, sizeof(text) - 1);
    close(ends[0]);
    assert_true(n > 0);
    assert_non_null(strstr(text, "agent.lock: File too large"));
}

/* The value of the first series of @metric. */
static double metric(struct agent_rig *rig, const char *metric)
{
    RIG_REPLY reply;
    const char *found;

    rig_admin(rig, "/metrics", &reply);
    assert_int_equal(reply.status, 200);
    found = strstr(reply.body, metric);
    assert_non_null(found);
    return atof(strchr(found, '}') + 1);
}

/* Figures are looked up at most every 500 ms. */
static void wait_metric(struct agent_rig *rig, const char *name, double least)
{
    uint64_t since = obs_mono_ns();

    while (metric(rig, name) < least) {
        assert_true(obs_mono_ns() - since < RIG_PATIENCE_MS * OBS_NS_PER_MS);
        rig_moment();
    }
}

static void accounts_for_what_units_use(void **state)
{
    RIG rig;
    RIG_REPLY reply;
    double before;
    pid_t old;

    rig_make(&rig, program);
    rig_units(&rig, "units:\n"
                    "  a: {exec: [sh, -c, \"(i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; "
                    "echo done > ${folder}/worked); exec sleep 1000\"]}\n");
    rig_start(&rig);
    rig_wait_file(&rig, "worked", "done");
    wait_metric(&rig, "container_cpu_usage_seconds_total{", 0.02);
    wait_metric(&rig, "container_memory_working_set_bytes{", 10000);
    before = metric(&rig, "container_cpu_usage_seconds_total{");
    old = rig_unit_pid(&rig, "a");
    kill(old, SIGKILL);
    rig_wait_new_pid(&rig, "a", old);
    wait_metric(&rig, "container_restarts_total{", 1);
    assert_true(metric(&rig, "container_cpu_usage_seconds_total{") >= before);
    wait_metric(&rig, "container_cpu_usage_seconds_total{", before + 0.02);
    assert_int_equal(metric(&rig, "container_last_exit_code{"), 137);
    rig_admin(&rig, "/metrics", &reply);
    assert_non_null(strstr(reply.body, "container=\"a\",state=\"running\"} 1\n"));
    assert_non_null(strstr(reply.body, "container=\"a\",state=\"failed\"} 0\n"));
}

/* The platform's agent runs the tenants' agents. */
static void an_agent_may_run_another(void **state)
{
    RIG rig;
    char text[1000];
    pid_t guard;

    rig_make(&rig, program);
    rig_write(&rig, "inner.yaml", "units:\n  a: {exec: [sh, -c, \"setsid sleep 1000 & wait\"]}\n");
    snprintf(text, sizeof(text),
             "units:\n"
             "  inner:\n"
             "    exec:\n"
             "      - %s\n"
             "      - --tenant=t\n"
             "      - --units=${folder}/inner.yaml\n"
             "      - --run=${folder}/irun\n"
             "      - --state=${folder}/istate\n"
             "      - --dist=/usr\n"
             "      - --listen=unix:${folder}/irun/a.sock\n"
             "      - --admin=unix:${folder}/irun/b.sock\n"
             "      - --public-key=${folder}/public.pem\n"
             "    ready: {http: \"unix:${folder}/irun/b.sock\", path: /readyz}\n",
             program);
    rig_units(&rig, text);
    rig_start(&rig);
    rig_wait_state(&rig, "inner", "running");
    rig_wait_processes(&rig, 2 + 2 + 2);
    guard = rig_unit_pid(&rig, "inner");
    kill(guard, SIGKILL);
    rig_wait_new_pid(&rig, "inner", guard);
    rig_wait_processes(&rig, 2 + 2 + 2);
    kill(rig_agent_pid(&rig), SIGKILL);
    assert_int_equal(rig_join(&rig), 128 + SIGKILL);
    assert_int_equal(rig_processes(&rig), 0);
    rig_start(&rig);
    rig_wait_state(&rig, "inner", "running");
}

int main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_in_order_and_stops_in_reverse),
        cmocka_unit_test(a_unit_outlives_those_who_need_it_by_way_of_a_task),
        cmocka_unit_test(starts_a_crashed_unit_again_after_growing_pauses),
        cmocka_unit_test(gives_up_a_crash_loop_and_restart_brings_it_back),
        cmocka_unit_test(a_killed_unit_comes_back_without_its_old_descendants),
        cmocka_unit_test(nothing_outlives_a_killed_agent),
        cmocka_unit_test(a_new_agent_waits_until_the_killed_ones_processes_are_gone),
        cmocka_unit_test(an_agent_stops_in_order_when_its_guard_is_killed),
        cmocka_unit_test(the_next_agent_ends_what_both_left_behind),
        cmocka_unit_test(refuses_a_second_agent_at_once),
        cmocka_unit_test(removes_stale_sockets_but_no_other_files),
        cmocka_unit_test(kills_what_does_not_get_ready_or_hangs),
        cmocka_unit_test(stops_a_stopped_process_and_kills_a_deaf_one),
        cmocka_unit_test(says_clearly_why_it_does_not_start),
        cmocka_unit_test(says_clearly_that_the_disk_is_full),
        cmocka_unit_test(an_agent_may_run_another),
        cmocka_unit_test(accounts_for_what_units_use),
    };

    program = argc > 1 ? realpath(argv[1], NULL) : NULL; /* units run in folders of their own */
    if (!program)
        return EXIT_FAILURE;
    return cmocka_run_group_tests_name("agent", tests, NULL, NULL);
}
