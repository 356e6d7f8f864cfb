/* The agent's doors: tokens, settings, logs; with a real nginx and a real Redis. */
#include "support/agent_rig.h"
#include "support/agent_token.h"
#include "support/test.h"

#include "base/address.h"
#include "base/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char *program;

#define RIG __attribute__((cleanup(rig_done))) struct agent_rig

#define SLEEPER "units:\n  a: {exec: [sleep, \"1000\"]}\n"

/* ---- tokens ---- */

static void refuses_requests_without_a_good_token(void **state)
{
    int64_t now = time(NULL);
    const struct agent_token BAD[] = {
        {"ES256", "observa", "other", now, now + 60},
        {"ES256", "nobody", "solo", now, now + 60},
        {"ES256", "observa", "solo", now - 200, now - 100},
        {"ES256", "observa", "solo", now, now + 3600},
        {"ES256", "observa", "solo", now, 0},
        {"HS256", "observa", "solo", now, now + 60},
        {"none", "observa", "solo", now, now + 60},
    };
    static const struct {
        const char *method, *target;
    } DOORS[] = {
        {"GET", "/v1/status"},          {"GET", "/v1/units"},
        {"GET", "/v1/units/a"},         {"POST", "/v1/units/a/stop"},
        {"POST", "/v1/units/a/signal"}, {"GET", "/v1/units/a/config"},
        {"PUT", "/v1/units/a/config"},  {"GET", "/v1/units/a/logs"},
        {"POST", "/v1/shutdown"},
    };
    RIG rig;

    rig_make(&rig, program);
    rig_units(&rig, SLEEPER);
    rig_start(&rig);
    for (size_t i = 0; i < sizeof(DOORS) / sizeof(DOORS[0]); i++) {
        RIG_REPLY reply;

        rig_call(&rig, DOORS[i].method, DOORS[i].target, NULL, "", &reply);
        assert_int_equal(reply.status, 401);
        assert_string_equal(reply.content_type, "application/problem+json");
        assert_non_null(strstr(reply.challenge, "Bearer"));
        assert_non_null(strstr(reply.challenge, "error=\"invalid_token\""));
    }
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        char *token = agent_token_sign(rig.folder, &BAD[i]);
        RIG_REPLY reply;

        rig_call(&rig, "POST", "/v1/units/a/stop", NULL, token, &reply);
        free(token);
        assert_int_equal(reply.status, 401);
    }
    rig_wait_state(&rig, "a", "running");
}

/* ---- units ---- */

static void names_the_units_there_are(void **state)
{
    RIG rig;
    RIG_REPLY unit;
    RIG_REPLY units;
    RIG_REPLY config;

    rig_make(&rig, program);
    rig_units(&rig, "units:\n  a: {exec: [sleep, \"1000\"]}\n  b: {exec: [sleep, \"1000\"]}\n");
    rig_start(&rig);
    rig_call(&rig, "GET", "/v1/units/c", NULL, NULL, &unit);
    assert_int_equal(unit.status, 404);
    assert_non_null(strstr(unit.body, "there are a, b"));
    rig_call(&rig, "GET", "/v1/units", NULL, NULL, &units);
    assert_int_equal(json_array_size(json_object_get(units.json, "units")), 2);
    rig_call(&rig, "GET", "/v1/units/a/config", NULL, NULL, &config);
    assert_int_equal(config.status, 404);
    assert_non_null(strstr(config.body, "a has no settings"));
}

static void signals_units(void **state)
{
    RIG rig;

    rig_make(&rig, program);
    rig_units(&rig, "units:\n"
                    "  a: {exec: [sh, -c, \"trap 'echo hup >> ${folder}/got' HUP; : > "
                    "${folder}/up; while :; do sleep 0.01; done\"], ready: {exec: [test, -e, "
                    "\"${folder}/up\"]}}\n");
    rig_start(&rig);
    rig_wait_state(&rig, "a", "running");
    assert_int_equal(rig_post(&rig, "/v1/units/a/signal", "{\"signal\":\"HUP\"}"), 202);
    rig_wait_file(&rig, "got", "hup");
    assert_int_equal(rig_post(&rig, "/v1/units/a/signal", "{\"signal\":\"QUIT\"}"), 422);
    assert_int_equal(rig_post(&rig, "/v1/units/a/signal", "{\"signal\":9}"), 422);
    assert_int_equal(rig_post(&rig, "/v1/units/a/signal", "{\"sign\":\"HUP\"}"), 422);
    assert_int_equal(rig_post(&rig, "/v1/units/a/signal", "{"), 400);
    assert_int_equal(rig_post(&rig, "/v1/units/z/signal", "{\"signal\":\"HUP\"}"), 404);
}

/* ---- logs ---- */

static void tells_the_last_lines(void **state)
{
    RIG rig;
    RIG_REPLY reply;
    RIG_REPLY bad;

    rig_make(&rig, program);
    rig_units(&rig,
              "units:\n"
              "  a: {exec: [sh, -c, \"for i in 1 2 3 4 5; do echo line $i; done; : > "
              "${folder}/up; exec sleep 1000\"], ready: {exec: [test, -e, \"${folder}/up\"]}}\n");
    rig_start(&rig);
    rig_wait_state(&rig, "a", "running");
    rig_call(&rig, "GET", "/v1/units/a/logs?lines=2", NULL, NULL, &reply);
    assert_int_equal(reply.status, 200);
    assert_null(strstr(reply.body, "line 3"));
    assert_non_null(strstr(reply.body, "\"message\":\"line 4\""));
    assert_non_null(strstr(reply.body, "\"message\":\"line 5\"}\n"));
    rig_call(&rig, "GET", "/v1/units/a/logs?lines=x", NULL, NULL, &bad);
    assert_int_equal(bad.status, 422);
    rig_wait_file(&rig, "state/log/a.log", "\"message\":\"line 5\"");
}

static void streams_the_lines_that_come(void **state)
{
    RIG rig;
    struct obs_address address;
    char text[8192] = "", request[2000];
    size_t size = 0;
    int fd;

    rig_make(&rig, program);
    rig_units(&rig, "units:\n"
                    "  a: {exec: [sh, -c, \"echo first; : > ${folder}/up; until test -e "
                    "${folder}/go; do sleep 0.01; done; echo second; exec sleep 1000\"], ready: "
                    "{exec: [test, -e, \"${folder}/up\"]}}\n");
    rig_start(&rig);
    rig_wait_state(&rig, "a", "running");
    snprintf(request, sizeof(request), "unix:%s", rig.agent_socket);
    assert_int_equal(obs_address_parse(request, &address, NULL), 0);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address.socket_address, address.size), 0);
    snprintf(request, sizeof(request),
             "GET /v1/units/a/logs?lines=5&follow=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
             "%s\r\n\r\n",
             rig.token);
    assert_int_equal(send(fd, request, strlen(request), 0), (ssize_t)strlen(request));
    while (!strstr(text, "second")) {
        ssize_t n = recv(fd, text + size, sizeof(text) - 1 - size, 0);

        assert_true(n > 0);
        size += (size_t)n;
        text[size] = '\0';
        if (strstr(text, "first"))
            rig_write(&rig, "go", "");
    }
    assert_non_null(strstr(text, "text/event-stream"));
    assert_non_null(strstr(text, "data: {"));
    rig_stop(&rig); /* a follower does not hold it up */
    close(fd);
}

/* ---- settings of a unit's own ---- */

struct fake_admin {
    int fd;
    char seen[4096];
};

static void *serve_once(void *userdata)
{
    static const char REPLY[] = "HTTP/1.1 422 Unprocessable Content\r\nContent-Type: "
                                "application/problem+json\r\nContent-Length: 15\r\nConnection: "
                                "close\r\n\r\n{\"detail\":\"no\"}";
    struct fake_admin *fake = userdata;
    int fd = accept4(fake->fd, NULL, NULL, SOCK_CLOEXEC);
    size_t size = 0;

    while (!strstr(fake->seen, "\"x\":1}")) {
        ssize_t n = recv(fd, fake->seen + size, sizeof(fake->seen) - 1 - size, 0);

        if (n <= 0)
            break;
        size += (size_t)n;
    }
    size = (size_t)send(fd, REPLY, sizeof(REPLY) - 1, MSG_NOSIGNAL);
    close(fd);
    return NULL;
}

static void hands_config_on_to_the_units_own(void **state)
{
    struct fake_admin fake = {.fd = -1};
    struct obs_address address;
    pthread_t thread;
    char text[100];
    RIG rig;
    RIG_REPLY down;
    RIG_REPLY reply;

    rig_make(&rig, program);
    rig_units(&rig, "units:\n  a: {exec: [sleep, \"1000\"], admin: \"unix:${folder}/a.sock\"}\n");
    rig_start(&rig);
    rig_call(&rig, "GET", "/v1/units/a/config", NULL, NULL, &down);
    assert_int_equal(down.status, 503);
    assert_non_null(strstr(down.body, "a cannot be asked: No such file"));
    snprintf(text, sizeof(text), "unix:%s/a.sock", rig.folder);
    assert_int_equal(obs_address_parse(text, &address, NULL), 0);
    assert_int_equal(obs_address_listen(&address, 4, false, &fake.fd, NULL), 0);
    fcntl(fake.fd, F_SETFL, 0);
    assert_int_equal(pthread_create(&thread, NULL, serve_once, &fake), 0);
    rig_call(&rig, "POST", "/v1/units/a/config", "{\"x\":1}", NULL, &reply);
    pthread_join(thread, NULL);
    close(fake.fd);
    assert_int_equal(reply.status, 422);
    assert_string_equal(reply.content_type, "application/problem+json");
    assert_string_equal(reply.body, "{\"detail\":\"no\"}");
    assert_int_equal(strncmp(fake.seen, "POST /config HTTP/1.1\r\n", 23), 0);
    assert_null(strstr(fake.seen, rig.token)); /* the token is for the agent alone */
}

/* ---- a gateway ---- */

#define GATEWAY_UNITS                                                                              \
    "units:\n"                                                                                     \
    "  gateway:\n"                                                                                 \
    "    exec: [nginx, -c, \"${folder}/nginx.conf\", -e, stderr]\n"                                \
    "    folders: [\"${folder}/nginx\"]\n"                                                         \
    "    sockets: [\"${folder}/gw.sock\", \"${folder}/gw-admin.sock\"]\n"                          \
    "    templates: [{source: \"${folder}/nginx.in\", target: \"${folder}/nginx.conf\"}]\n"        \
    "    settings: gateway\n"                                                                      \
    "    check: [nginx, -t, -q, -c, \"${template}\", -e, stderr]\n"                                \
    "    ready: {http: \"unix:${folder}/gw-admin.sock\", path: /ok}\n"                             \
    "    stop: {signal: QUIT, timeout: 1s}\n"                                                      \
    "    death_signal: TERM\n"                                                                     \
    "    reload: HUP\n"                                                                            \
    "    log: {format: nginx-access, routes: [/speed], stub_status: "                              \
    "\"unix:${folder}/gw-admin.sock\", "                                                           \
    "stub_path: /stub}\n"

#define GATEWAY_TEMPLATE                                                                           \
    "daemon off; worker_processes 1; pid ${folder}/nginx/pid; error_log stderr warn;\n"            \
    "events { worker_connections ${settings.worker_connections}; }\n"                              \
    "http {\n"                                                                                     \
    "  log_format access escape=json '{\"time_s\":$msec,\"method\":\"$request_method\","           \
    "\"path\":\"$uri\",\"status\":$status,\"duration_s\":$request_time}';\n"                       \
    "  access_log /dev/stdout access;\n"                                                           \
    "  client_body_temp_path ${folder}/nginx/a; proxy_temp_path ${folder}/nginx/b;\n"              \
    "  fastcgi_temp_path ${folder}/nginx/c; uwsgi_temp_path ${folder}/nginx/d;\n"                  \
    "  scgi_temp_path ${folder}/nginx/e;\n"                                                        \
    "  gzip_http_version 1.${settings.proxy_tries};\n"                                             \
    "  server { listen unix:${folder}/gw.sock;\n"                                                  \
    "    location /speed { return 200 \"${settings.proxy_read_timeout}\"; } }\n"                   \
    "  server { listen unix:${folder}/gw-admin.sock; access_log off;\n"                            \
    "    location /ok { return 200; } location /stub { stub_status; } }\n"                         \
    "}\n"

static void make_gateway(struct agent_rig *rig)
{
    rig_make(rig, program);
    rig_write(rig, "nginx.in", GATEWAY_TEMPLATE);
    rig_units(rig, GATEWAY_UNITS);
    rig_start(rig);
    rig_wait_state(rig, "gateway", "running");
}

/* What the gateway itself answers: the value of a setting in force. */
static void wait_speed(struct agent_rig *rig, const char *expected)
{
    struct agent_rig gateway = *rig;
    uint64_t since = obs_mono_ns();

    snprintf(gateway.admin_socket, sizeof(gateway.admin_socket), "%s/gw.sock", rig->folder);
    for (;;) {
        RIG_REPLY reply;

        rig_admin(&gateway, "/speed", &reply);
        if (reply.status == 200 && strcmp(reply.body, expected) == 0)
            return;
        if (obs_mono_ns() - since > RIG_PATIENCE_MS * OBS_NS_PER_MS)
            fail_msg("expected %s, got %s", expected, reply.body);
        rig_moment();
    }
}

static void changes_a_gateways_settings_without_a_restart(void **state)
{
    RIG rig;
    RIG_REPLY schema;
    pid_t pid;

    make_gateway(&rig);
    pid = rig_unit_pid(&rig, "gateway");
    wait_speed(&rig, "10000");
    assert_int_equal(rig_post(&rig, "/v1/units/gateway/config", "{\"proxy_read_timeout\":800}"),
                     200);
    wait_speed(&rig, "800");
    assert_int_equal(rig_unit_pid(&rig, "gateway"), pid);
    rig_call(&rig, "GET", "/v1/units/gateway/config/schema", NULL, NULL, &schema);
    assert_int_equal(schema.status, 200);
    assert_non_null(strstr(schema.body, "worker_connections"));
}

static void refuses_what_the_gateway_refuses_in_its_words(void **state)
{
    RIG rig;
    RIG_REPLY refused;
    RIG_REPLY range;
    RIG_REPLY now;

    make_gateway(&rig);
    rig_call(&rig, "POST", "/v1/units/gateway/config",
             "{\"proxy_tries\":2,\"proxy_read_timeout\":900}", NULL, &refused);
    assert_int_equal(refused.status, 422);
    assert_non_null(strstr(refused.body, "[emerg]"));
    assert_non_null(strstr(refused.body, "invalid value"));
    assert_null(strstr(refused.body, "trial"));
    rig_call(&rig, "POST", "/v1/units/gateway/config", "{\"worker_connections\":1}", NULL, &range);
    assert_int_equal(range.status, 422);
    assert_non_null(strstr(range.body, "worker_connections"));
    rig_call(&rig, "GET", "/v1/units/gateway/config", NULL, NULL, &now);
    assert_int_equal(json_array_size(json_object_get(now.json, "changed")), 0);
    wait_speed(&rig, "10000");
}

static void settings_survive_the_death_of_unit_and_agent(void **state)
{
    RIG rig;
    pid_t pid;

    make_gateway(&rig);
    assert_int_equal(rig_post(&rig, "/v1/units/gateway/config", "{\"proxy_read_timeout\":800}"),
                     200);
    pid = rig_unit_pid(&rig, "gateway");
    kill(pid, SIGKILL);
    rig_wait_new_pid(&rig, "gateway", pid);
    wait_speed(&rig, "800");
    kill(rig_agent_pid(&rig), SIGKILL);
    rig_join(&rig);
    assert_int_equal(rig_processes(&rig), 0);
    rig_start(&rig);
    rig_wait_state(&rig, "gateway", "running");
    wait_speed(&rig, "800");
    RIG_REPLY reset;
    rig_call(&rig, "DELETE", "/v1/units/gateway/config", NULL, NULL, &reset);
    assert_int_equal(reset.status, 200);
    wait_speed(&rig, "10000");
}

static void serves_a_gateways_metrics_while_it_answers(void **state)
{
    RIG rig;
    RIG_REPLY none;
    RIG_REPLY stopped;
    uint64_t since = obs_mono_ns();

    make_gateway(&rig);
    wait_speed(&rig, "10000");
    for (;;) {
        RIG_REPLY reply;

        rig_admin(&rig, "/metrics/gateway", &reply);
        assert_int_equal(reply.status, 200);
        assert_non_null(strstr(reply.body, "nginx_connections_active{service=\"gateway\","
                                           "version=\"1.1\"}"));
        if (strstr(reply.body,
                   "http_server_request_duration_seconds_count{service=\"gateway\","
                   "version=\"1.1\",route=\"/speed\",method=\"GET\",status_code=\"200\"}"))
            break;
        assert_true(obs_mono_ns() - since < RIG_PATIENCE_MS * OBS_NS_PER_MS);
        rig_moment();
    }
    rig_admin(&rig, "/metrics/nothing", &none);
    assert_int_equal(none.status, 404);
    rig_post(&rig, "/v1/units/gateway/stop", NULL);
    rig_wait_state(&rig, "gateway", "stopped");
    rig_admin(&rig, "/metrics/gateway", &stopped);
    assert_int_equal(stopped.status, 503);
}

/* ---- a cache ---- */

static void ask_redis(struct agent_rig *rig, const char *name, char *out, size_t capacity)
{
    char command[300];
    FILE *pipe;
    size_t size;

    snprintf(command, sizeof(command), "redis-cli -s %s/redis.sock CONFIG GET %s", rig->folder,
             name);
    pipe = popen(command, "re");
    assert_non_null(pipe);
    size = fread(out, 1, capacity - 1, pipe);
    out[size] = '\0';
    pclose(pipe);
}

static void changes_redis_at_once_and_for_good(void **state)
{
    RIG rig;
    char text[300];
    pid_t pid;

    rig_make(&rig, program);
    rig_write(&rig, "redis.in",
              "port 0\nunixsocket ${folder}/redis.sock\nsave \"\"\ndir ${folder}\n"
              "maxmemory ${settings.maxmemory}mb\n"
              "maxmemory-policy ${settings.maxmemory_policy}\n");
    rig_units(&rig, "units:\n"
                    "  redis:\n"
                    "    exec: [redis-server, \"${folder}/redis.conf\"]\n"
                    "    sockets: [\"${folder}/redis.sock\"]\n"
                    "    templates: [{source: \"${folder}/redis.in\", target: "
                    "\"${folder}/redis.conf\"}]\n"
                    "    settings: redis\n"
                    "    address: unix:${folder}/redis.sock\n"
                    "    ready: {connect: \"unix:${folder}/redis.sock\"}\n");
    rig_start(&rig);
    rig_wait_state(&rig, "redis", "running");
    pid = rig_unit_pid(&rig, "redis");
    assert_int_equal(rig_post(&rig, "/v1/units/redis/config",
                              "{\"maxmemory\":4,\"maxmemory_policy\":\"noeviction\"}"),
                     200);
    ask_redis(&rig, "maxmemory", text, sizeof(text));
    assert_non_null(strstr(text, "4194304"));
    ask_redis(&rig, "maxmemory-policy", text, sizeof(text));
    assert_non_null(strstr(text, "noeviction"));
    assert_int_equal(rig_unit_pid(&rig, "redis"), pid);
    kill(pid, SIGKILL);
    rig_wait_new_pid(&rig, "redis", pid);
    ask_redis(&rig, "maxmemory", text, sizeof(text));
    assert_non_null(strstr(text, "4194304"));
    assert_int_equal(rig_post(&rig, "/v1/units/redis/config", "{\"maxmemory_policy\":\"lru\"}"),
                     422);
}

int main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_requests_without_a_good_token),
        cmocka_unit_test(names_the_units_there_are),
        cmocka_unit_test(signals_units),
        cmocka_unit_test(tells_the_last_lines),
        cmocka_unit_test(streams_the_lines_that_come),
        cmocka_unit_test(hands_config_on_to_the_units_own),
        cmocka_unit_test(changes_a_gateways_settings_without_a_restart),
        cmocka_unit_test(refuses_what_the_gateway_refuses_in_its_words),
        cmocka_unit_test(settings_survive_the_death_of_unit_and_agent),
        cmocka_unit_test(serves_a_gateways_metrics_while_it_answers),
        cmocka_unit_test(changes_redis_at_once_and_for_good),
    };

    program = argc > 1 ? argv[1] : "observa-agent";
    return cmocka_run_group_tests_name("agent_api", tests, NULL, NULL);
}
