/*
 * observa up: prepare the files, start the platform's agent, show what becomes ready, and say what
 * to do next. When all runs already, it only says so.
 */
#include "base/clock.h"
#include "base/text.h"
#include "cli/agent_client.h"
#include "cli/cli.h"
#include "cli/leftovers.h"
#include "cli/platform.h"
#include "cli/ports.h"
#include "cli/prepare.h"
#include "cli/progress.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define POLL_NS (50 * OBS_NS_PER_MS)
#define LAST_OUTPUT_BYTES 2000
#define LAST_LINES 6

enum { UP_PORT, UP_TIMEOUT, UP_QUIET };
static const struct obs_arg ARGS[] = {
    [UP_PORT] =
        {"port", "PORT", "", "NUMBER",
         "where the control gateway listens; 0: any free port (default 8080, or the next free "
         "one up to 8179; then the same again)"},
    [UP_TIMEOUT] = {"timeout", NULL, "120s", "DURATION", "give up when not all is ready by then"},
    [UP_QUIET] = {"quiet", NULL, "", NULL, "only say what fails", .is_switch = true},
};

struct up {
    struct cli *cli;
    struct progress *progress;
    json_t *ports;
    pid_t agent; /* started by us; 0: it ran already */
    bool is_quiet;
};

static int read_port(const struct cli *cli, int *ret_port)
{
    const char *text = cli->values[UP_PORT];
    uint64_t port = 0;

    *ret_port = PORTS_CONTROL_KEEP;
    if (text[0] == '\0')
        return CLI_OK;
    if (obs_text_parse_u64(text, strlen(text), 65535, &port) != 0) {
        cli_fail("--port %s: expected a number from 0 to 65535", text);
        return CLI_USAGE;
    }
    *ret_port = (int)port;
    return CLI_OK;
}

/* The program to type, for messages: as people in a checkout reach it. */
static const char *program(const struct cli *cli, char out[PATHS_ROOM])
{
    return paths_format(out, "%s/bin/observa", cli->paths.dist);
}

/* A line of JSON is told by its message. */
static void print_line(const char *line)
{
    OBS_JSON parsed = json_loads(line, 0, NULL);
    const char *message = json_string_value(json_object_get(parsed, "message"));

    fprintf(stderr, "    | %s\n", message ? message : line);
}

static void print_last_lines(const json_t *unit)
{
    const json_t *lines = json_object_get(unit, "last_lines");
    size_t count = json_array_size(lines);

    for (size_t i = count > LAST_LINES ? count - LAST_LINES : 0; i < count; i++)
        print_line(json_string_value(json_array_get(lines, i)));
}

/* Say why a unit is not ready. Returns false when it is fine. */
static bool explain_unit(const struct cli *cli, const char *tenant, const json_t *unit, bool is_end)
{
    const char *name = json_string_value(json_object_get(unit, "name"));
    const char *state = json_string_value(json_object_get(unit, "state"));
    const char *reason = json_string_value(json_object_get(unit, "reason"));
    char path[PATHS_ROOM];

    if (!json_is_true(json_object_get(unit, "required")) ||
        json_is_true(json_object_get(unit, "ready")) || !name || !state ||
        (!is_end && strcmp(state, "failed") != 0) || strcmp(state, "waiting") == 0)
        return false;
    cli_fail("%s/%s is %s%s%s", tenant, name, state, reason && reason[0] ? ": " : "",
             reason ? reason : "");
    print_last_lines(unit);
    cli_next("%s logs %s/%s", program(cli, path), tenant, name);
    return true;
}

static int explain_status(const struct cli *cli, const char *tenant, const json_t *status,
                          bool is_end)
{
    int count = 0;
    size_t i;
    json_t *unit;

    json_array_foreach (json_object_get(status, "units"), i, unit)
        count += explain_unit(cli, tenant, unit, is_end);
    return count;
}

static int agent_ended(const struct up *up, int status)
{
    OBS_CLEANUP(obs_freep) char *output = platform_last_output(&up->cli->paths, LAST_OUTPUT_BYTES);

    if (WIFSIGNALED(status))
        cli_fail("the platform's agent was ended by signal %d", WTERMSIG(status));
    else
        cli_fail("the platform's agent ended with status %d", WEXITSTATUS(status));
    fprintf(stderr, "%s", output ? output : "");
    cli_next("read %s/platform/log/agent.log", up->cli->paths.state);
    return CLI_FAILED;
}

/* Return: CLI_OK (all is ready), CLI_FAILED (said why), -EAGAIN (not yet). */
static int look(const struct up *up, bool is_end)
{
    OBS_JSON platform = NULL;
    OBS_JSON tenant = NULL;
    struct obs_reason why = {0};
    int failures = 0, ended, r;

    if (up->agent > 0 && waitpid(up->agent, &ended, WNOHANG) == up->agent)
        return agent_ended(up, ended);
    r = agent_status(&up->cli->paths, PATHS_PLATFORM, &platform, &why);
    (void)agent_status(&up->cli->paths, PATHS_TENANT, &tenant, NULL);
    if (!up->is_quiet) {
        progress_show(up->progress, PATHS_PLATFORM, platform);
        progress_show(up->progress, PATHS_TENANT, tenant);
        progress_tick(up->progress);
    }
    if (r == 0 && json_is_true(json_object_get(platform, "ready")))
        return CLI_OK;
    failures += explain_status(up->cli, PATHS_TENANT, tenant, is_end);
    failures += explain_status(up->cli, PATHS_PLATFORM, platform, is_end);
    if (is_end && failures == 0)
        cli_fail("%s", r < 0 ? why.text : "not everything became ready in time");
    return failures > 0 || is_end ? CLI_FAILED : -EAGAIN;
}

static int wait_ready(struct up *up, uint64_t timeout_ns)
{
    uint64_t deadline = obs_mono_ns() + timeout_ns;
    int r;

    do {
        r = look(up, obs_mono_ns() >= deadline);
        if (r == -EAGAIN)
            obs_sleep_ns(POLL_NS);
    } while (r == -EAGAIN);
    return r;
}

static void print_summary(const struct up *up, bool is_new, double seconds)
{
    unsigned control = ports_get(up->ports, "control");
    char path[PATHS_ROOM];

    if (is_new)
        printf("\nObservaStack is up, after %.1f s.\n\n", seconds);
    else
        printf("ObservaStack is up already.\n\n");
    printf("  status page    http://127.0.0.1:%u/\n"
           "  the shop       http://127.0.0.1:%u/sut/" PATHS_TENANT "/api/home\n"
           "  Prometheus     http://127.0.0.1:%u/classic/targets\n"
           "  Alertmanager   http://127.0.0.1:%u/api/v2/alerts\n\n",
           control, control, ports_get(up->ports, "prometheus"),
           ports_get(up->ports, "alertmanager"));
    printf("Next: make demo (an order, followed to its end), make status, make down.\n"
           "The command for everything else is %s\n",
           program(up->cli, path));
}

static int start_new(struct up *up, int port)
{
    unsigned long long room = prepare_disk_free(&up->cli->paths);
    struct obs_reason why = {0};
    int r;

    if (room < PREPARE_DISK_BYTES) {
        cli_fail("%s: %llu MB are free; %llu MB are needed", up->cli->paths.state, room >> 20,
                 PREPARE_DISK_BYTES >> 20);
        cli_next("free some space there, or choose another place: STATE_DIR=DIR make up");
        return CLI_FAILED;
    }
    (void)leftovers_kill(&up->cli->paths, 5000);
    r = prepare_files(&up->cli->paths, port, &up->ports, &why);
    if (r != 0) {
        cli_fail("%s", why.text[0] ? why.text : strerror(-r));
        if (r == PREPARE_REFUSED && port > 0)
            cli_next("choose another: PORT=%d make up, or leave PORT away", port + 1);
        return CLI_FAILED;
    }
    if (platform_start(&up->cli->paths, &up->agent, &why) < 0)
        return cli_fail("%s", why.text);
    return CLI_OK;
}

static int take_running(struct up *up, int port)
{
    struct obs_reason why = {0};
    char path[PATHS_ROOM];
    unsigned control;

    paths_format(path, "%s/platform/ports.json", up->cli->paths.state);
    if (ports_read(path, &up->ports, &why) != 0)
        return cli_fail("%s", why.text);
    control = ports_get(up->ports, "control");
    if (port > 0 && (unsigned)port != control) {
        cli_fail("it is up already, at port %u", control);
        cli_next("make down first, to move it to port %d", port);
        return CLI_FAILED;
    }
    return CLI_OK;
}

static int up_locked(struct up *up, int port, uint64_t timeout_ns)
{
    OBS_JSON status = NULL;
    struct obs_reason why = {0};
    int r = agent_status(&up->cli->paths, PATHS_PLATFORM, &status, &why);
    bool is_new = r < 0;
    double seconds;
    char path[PATHS_ROOM];

    if (is_new && !agent_is_absent(r)) {
        cli_fail("%s", why.text);
        cli_next("make down, then make up");
        return CLI_FAILED;
    }
    r = is_new ? start_new(up, port) : take_running(up, port);
    if (r == CLI_OK)
        r = wait_ready(up, timeout_ns);
    seconds = progress_seconds(up->progress);
    up->progress = progress_free(up->progress);
    if (r == CLI_OK && !up->is_quiet)
        print_summary(up, is_new, seconds);
    else if (r != CLI_OK && up->agent > 0 && waitpid(up->agent, NULL, WNOHANG) == 0)
        cli_next("what did start still runs; %s doctor looks for causes, make down stops it",
                 program(up->cli, path));
    return r;
}

static int run(struct cli *cli)
{
    struct up up = {.cli = cli, .is_quiet = cli_flag(cli, UP_QUIET)};
    OBS_CLEANUP(obs_closep) int lock = -1;
    struct obs_reason why = {0};
    uint64_t timeout_ns = 0;
    char path[PATHS_ROOM];
    int port, r = read_port(cli, &port);

    if (r != CLI_OK)
        return r;
    if (obs_text_parse_duration(cli->values[UP_TIMEOUT], &timeout_ns) != 0) {
        cli_fail("--timeout %s: expected a duration such as 60s", cli->values[UP_TIMEOUT]);
        return CLI_USAGE;
    }
    if (access(paths_format(path, "%s/bin/observa-agent", cli->paths.dist), X_OK) < 0) {
        cli_fail("%s: %s", path, strerror(errno));
        cli_next("make up, which builds the programs and puts them there");
        return CLI_FAILED;
    }
    r = prepare_folders(&cli->paths, &why);
    if (r != 0)
        return cli_fail("%s", why.text[0] ? why.text : strerror(-r));
    lock = platform_lock(&cli->paths, &why);
    if (lock < 0)
        return cli_fail("%s", why.text);
    if (progress_new(isatty(STDOUT_FILENO) && !up.is_quiet, cli->is_colourful, &up.progress) < 0)
        return cli_fail("%s", strerror(ENOMEM));
    r = up_locked(&up, port, timeout_ns);
    json_decref(up.ports);
    return r;
}

const struct cli_verb verb_up = {
    .name = "up",
    .words = "",
    .summary = "start everything, wait until it is ready",
    .text =
        "Chooses ports, makes keys and passwords (each once), writes the servers' configuration, "
        "and starts\nthe platform: the real servers, and the shop. Shows each unit as it becomes "
        "ready. As root,\neverything runs as the user observa. When all is up already, it says "
        "where.",
    .args = ARGS,
    .arg_count = OBS_COUNT(ARGS),
    .run = run,
};
