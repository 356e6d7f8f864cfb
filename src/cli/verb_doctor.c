/*
 * observa doctor: looks for what could be wrong, and says the next step for each finding.
 *
 * A check is a function in CHECKS that adds findings; one that finds nothing bad adds a good one.
 */
#include "base/address.h"
#include "base/clock.h"
#include "base/file.h"
#include "cli/agent_client.h"
#include "cli/cli.h"
#include "cli/leftovers.h"
#include "cli/ports.h"
#include "cli/prepare.h"
#include "cli/privileges.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define MEMORY_LOW_BYTES (600ULL * 1024 * 1024)
#define CLOCK_EARLIEST 1764000000 /* nothing of this runs before late 2025 */

enum finding { GOOD, WARNING, BAD };
static const char *const FINDINGS[] = {"ok", "warning", "bad"};

struct doctor {
    struct cli *cli;
    json_t *findings;
    bool is_bad, is_running;
};

__attribute__((format(printf, 5, 6))) static void add(struct doctor *d, const char *check,
                                                      enum finding finding, const char *next,
                                                      const char *format, ...)
{
    char text[640];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    d->is_bad = d->is_bad || finding == BAD;
    (void)json_array_append_new(d->findings,
                                json_pack("{s:s, s:s, s:s, s:s}", "check", check, "result",
                                          FINDINGS[finding], "text", text, "next", next));
}

/* Servers, and where Debian puts them. */
static void check_packages(struct doctor *d)
{
    static const struct {
        const char *path, *package;
    } PROGRAMS[] = {
        {"/usr/bin/prometheus", "prometheus"},
        {"/usr/bin/prometheus-alertmanager", "prometheus-alertmanager"},
        {"/usr/bin/prometheus-postgres-exporter", "prometheus-postgres-exporter"},
        {"/usr/bin/prometheus-redis-exporter", "prometheus-redis-exporter"},
        {"/usr/lib/postgresql/15/bin/postgres", "postgresql-15"},
        {"/usr/bin/redis-server", "redis-server"},
        {"/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server"},
        {"/usr/bin/erl", "erlang-base"},
        {"/usr/bin/epmd", "erlang-base"},
        {"/usr/sbin/nginx", "nginx"},
    };
    size_t missing = 0;

    for (size_t i = 0; i < OBS_COUNT(PROGRAMS); i++) {
        if (access(PROGRAMS[i].path, X_OK) == 0)
            continue;
        missing++;
        add(d, "packages", BAD, "scripts/install", "%s is missing (package %s)", PROGRAMS[i].path,
            PROGRAMS[i].package);
    }
    if (missing == 0)
        add(d, "packages", GOOD, "", "all %zu servers are installed", OBS_COUNT(PROGRAMS));
}

static void check_staged(struct doctor *d)
{
    static const char *const PROGRAMS[] = {
        "observa",        "observa-agent",      "observa-storefront", "observa-catalog",
        "observa-orders", "observa-fulfilment", "observa-load",       "observa-telemetry"};
    char path[PATHS_ROOM];
    size_t missing = 0;

    for (size_t i = 0; i < OBS_COUNT(PROGRAMS); i++) {
        paths_format(path, "%s/bin/%s", d->cli->paths.dist, PROGRAMS[i]);
        if (access(path, X_OK) == 0)
            continue;
        missing++;
        add(d, "programs", BAD, "make up, which builds and stages them", "%s: %s", path,
            strerror(errno));
    }
    if (missing == 0)
        add(d, "programs", GOOD, "", "all %zu programs are staged", OBS_COUNT(PROGRAMS));
}

static void check_folder(struct doctor *d, const char *root, const char *folder)
{
    struct stat status;
    char path[PATHS_ROOM];

    paths_format(path, "%s%s", root, folder);
    if (lstat(path, &status) < 0)
        add(d, "folders", errno == ENOENT && !d->is_running ? WARNING : BAD,
            "make up, which makes it", "%s: %s", path, strerror(errno));
    else if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid())
        add(d, "folders", BAD, "remove it or give another STATE_DIR",
            "%s does not belong to the user who runs this (uid %u)", path, (unsigned)geteuid());
    else if ((status.st_mode & 077) != 0)
        add(d, "folders", BAD, "chmod 700 on it", "%s can be entered by others (mode %o)", path,
            (unsigned)(status.st_mode & 07777));
    else if (access(path, R_OK | W_OK | X_OK) < 0)
        add(d, "folders", BAD, "look at the permissions of its parent folders", "%s: %s", path,
            strerror(errno));
    else
        add(d, "folders", GOOD, "", "%s", path);
}

static void check_folders(struct doctor *d)
{
    check_folder(d, d->cli->paths.state, "/platform");
    check_folder(d, d->cli->paths.state, "/tenants");
    check_folder(d, d->cli->paths.run, "");
}

static void check_disk(struct doctor *d)
{
    unsigned long long room = prepare_disk_free(&d->cli->paths);

    if (access(d->cli->paths.state, F_OK) < 0)
        return;
    if (room < PREPARE_DISK_BYTES)
        add(d, "disk", BAD, "free some space, or move it: STATE_DIR=DIR make up",
            "%llu MB are free at %s; %llu MB are needed", room >> 20, d->cli->paths.state,
            PREPARE_DISK_BYTES >> 20);
    else
        add(d, "disk", GOOD, "", "%llu MB are free", room >> 20);
}

static void check_memory(struct doctor *d)
{
    struct obs_buffer b = OBS_BUFFER_INIT(65536);
    unsigned long long kilobytes = 0;
    const char *line = NULL;

    if (obs_file_read("/proc/meminfo", &b) == 0 && b.data)
        line = strstr(b.data, "MemAvailable:");
    if (line && sscanf(line, "MemAvailable: %llu", &kilobytes) == 1) {
        if (kilobytes * 1024 < MEMORY_LOW_BYTES && !d->is_running)
            add(d, "memory", WARNING, "close something big", "%llu MB are available; up takes 300",
                kilobytes >> 10);
        else
            add(d, "memory", GOOD, "", "%llu MB are available", kilobytes >> 10);
    }
    obs_buffer_done(&b);
}

static void check_ports(struct doctor *d)
{
    OBS_JSON ports = NULL;
    struct obs_reason why = {0};
    char path[PATHS_ROOM];
    const char *name;
    json_t *value;
    size_t taken = 0;

    paths_format(path, "%s/platform/ports.json", d->cli->paths.state);
    if (ports_read(path, &ports, &why) != 0) {
        add(d, "ports", WARNING, "make up, which chooses them", "%s", why.text);
        return;
    }
    json_object_foreach (ports, name, value) {
        uint16_t port = (uint16_t)json_integer_value(value);
        bool is_free = ports_is_free(port);

        if (is_free == !d->is_running)
            continue;
        taken++;
        if (is_free)
            add(d, "ports", BAD, "observa status: is the unit up?", "nobody listens at %s, port %u",
                name, port);
        else
            add(d, "ports", WARNING, "nothing: the next up chooses another",
                "port %u (%s) is taken by another program", port, name);
    }
    if (taken == 0)
        add(d, "ports", GOOD, "", "all %zu ports are %s", json_object_size(ports),
            d->is_running ? "served" : "free");
}

static void check_units(struct doctor *d, const char *tenant)
{
    OBS_JSON status = NULL;
    struct obs_reason why = {0};
    size_t i, bad = 0;
    json_t *unit;
    int r = agent_status(&d->cli->paths, tenant, &status, &why);

    if (agent_is_absent(r) && !d->is_running) {
        if (strcmp(tenant, PATHS_PLATFORM) == 0)
            add(d, "units", WARNING, "make up", "ObservaStack is not up");
        return;
    }
    if (r < 0) {
        add(d, "units", BAD, "observa logs platform/tenant-" PATHS_TENANT, "%s", why.text);
        return;
    }
    d->is_running = true;
    json_array_foreach (json_object_get(status, "units"), i, unit) {
        const char *name = json_string_value(json_object_get(unit, "name"));
        const char *reason = json_string_value(json_object_get(unit, "reason"));
        char next[160];

        if (json_is_true(json_object_get(unit, "ready")))
            continue;
        bad++;
        (void)snprintf(next, sizeof(next), "observa logs %s/%s, then observa restart %s/%s", tenant,
                       name, tenant, name);
        add(d, "units", json_is_true(json_object_get(unit, "required")) ? BAD : WARNING, next,
            "%s/%s is %s: %s", tenant, name, json_string_value(json_object_get(unit, "state")),
            reason && reason[0] ? reason : "no reason given");
    }
    if (bad == 0)
        add(d, "units", GOOD, "", "all %zu units of %s are ready",
            json_array_size(json_object_get(status, "units")), tenant);
}

static void check_sockets(struct doctor *d)
{
    static const char *const SOCKETS[] = {"gateway",      "storefront-admin", "catalog-admin",
                                          "orders-admin", "fulfilment-admin", "redis"};
    struct obs_address address;
    char text[PATHS_ROOM];
    size_t bad = 0;

    if (!d->is_running)
        return;
    for (size_t i = 0; i < OBS_COUNT(SOCKETS); i++) {
        OBS_CLEANUP(obs_closep) int fd = -1;
        int r;

        paths_format(text, "unix:%s/tenants/" PATHS_TENANT "/%s.sock", d->cli->paths.run,
                     SOCKETS[i]);
        if (obs_address_parse(text, &address, NULL) != 0)
            continue;
        r = obs_address_connect(&address, &fd);
        if (r < 0) {
            bad++;
            add(d, "sockets", BAD, "observa restart on the unit of that name", "%s: %s", text,
                strerror(-r));
        }
    }
    if (bad == 0)
        add(d, "sockets", GOOD, "", "all sockets of " PATHS_TENANT " answer");
}

static void check_leftovers(struct doctor *d)
{
    size_t count = leftovers_find(&d->cli->paths, NULL, 0);

    if (!d->is_running && count > 0)
        add(d, "processes", BAD, "make down, which ends them",
            "%zu processes are left although no agent runs", count);
    else
        add(d, "processes", GOOD, "", "%zu processes run", count);
}

static void check_clock(struct doctor *d)
{
    struct stat status;
    char path[PATHS_ROOM];
    time_t now = time(NULL);

    paths_format(path, "%s/platform/variables.json", d->cli->paths.state);
    if (now < CLOCK_EARLIEST)
        add(d, "clock", BAD, "set the machine's clock", "the clock says a year before 2026");
    else if (stat(path, &status) == 0 && status.st_mtime > now + 60)
        add(d, "clock", BAD, "set the machine's clock; tokens are good for minutes only",
            "the clock is %lld s behind this installation's files",
            (long long)(status.st_mtime - now));
    else
        add(d, "clock", GOOD, "", "the clock is plausible");
}

static void print_findings(const struct doctor *d)
{
    static const char *const COLOURS[] = {"\033[32m", "\033[33m", "\033[31m"};
    static const char *const SIGNS[] = {"✓", "!", "✗"};
    size_t i;
    json_t *finding;

    json_array_foreach (d->findings, i, finding) {
        const char *result = json_string_value(json_object_get(finding, "result"));
        int kind = strcmp(result, "ok") == 0 ? GOOD : strcmp(result, "bad") == 0 ? BAD : WARNING;

        printf("  %s%s%s %-10s %s\n", d->cli->is_colourful ? COLOURS[kind] : "", SIGNS[kind],
               d->cli->is_colourful ? "\033[0m" : "",
               json_string_value(json_object_get(finding, "check")),
               json_string_value(json_object_get(finding, "text")));
        if (kind != GOOD)
            printf("               next: %s\n",
                   json_string_value(json_object_get(finding, "next")));
    }
}

static int run(struct cli *cli)
{
    struct doctor d = {.cli = cli, .findings = json_array()};
    struct obs_reason why = {0};

    if (privileges_drop(&why) < 0) {
        cli_fail("%s", why.text);
        return CLI_FAILED;
    }
    check_packages(&d);
    check_staged(&d);
    check_units(&d, PATHS_PLATFORM);
    check_units(&d, PATHS_TENANT);
    check_folders(&d);
    check_sockets(&d);
    check_ports(&d);
    check_leftovers(&d);
    check_disk(&d);
    check_memory(&d);
    check_clock(&d);
    if (cli->is_json) {
        OBS_JSON output = json_pack("{s:b, s:b, s:O}", "ok", !d.is_bad, "running", d.is_running,
                                    "findings", d.findings);

        (void)json_dumpf(output, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        print_findings(&d);
    }
    json_decref(d.findings);
    return d.is_bad ? CLI_FAILED : CLI_OK;
}

const struct cli_verb verb_doctor = {
    .name = "doctor",
    .words = "",
    .summary = "look for what could be wrong, with the next step",
    .text = "Checks packages, programs, units, folders and their permissions, sockets, ports, "
            "processes, "
            "disk,\nmemory and clock. Changes nothing. Exit status 1 when something is bad.",
    .has_json = true,
    .run = run,
};
