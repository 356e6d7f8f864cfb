/* observa logs: what the processes wrote, of one unit or of all. */
#include "base/text.h"
#include "cli/agent_client.h"
#include "cli/cli.h"
#include "cli/log_query.h"
#include "cli/log_stream.h"
#include "cli/privileges.h"
#include "cli/telemetry_client.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define STREAMS_MAX 200

enum { LOGS_FOLLOW, LOGS_LINES, LOGS_QUERY, LOGS_LAST, LOGS_TENANT, LOGS_TELEMETRY };
static const struct obs_arg ARGS[] = {
    [LOGS_FOLLOW] = {"follow", NULL, "", NULL, "go on as lines come, until Ctrl-C (also -f)",
                     .is_switch = true},
    [LOGS_LINES] = {"lines", NULL, "", "NUMBER",
                    "how many of the last lines (also -n; default 100, of all units 10 each)"},
    [LOGS_QUERY] = {"query", NULL, "", "LOGQL", "search the telemetry store instead of the agents"},
    [LOGS_LAST] = {"last", NULL, "1h", "DURATION", "how far back --query looks"},
    [LOGS_TENANT] = {"tenant", NULL, PATHS_TENANT, "NAME", "whose data --query reads"},
    [LOGS_TELEMETRY] = TELEMETRY_ARG,
};

struct source {
    struct log_stream *stream;
    char name[112]; /* printed before each line; "" for none */
};

struct logs {
    struct cli *cli;
    unsigned lines;
    bool is_followed;
    struct source sources[STREAMS_MAX];
    size_t count;
};

static void print_line(const char *line, void *userdata)
{
    const struct source *source = userdata;

    if (source->name[0] != '\0')
        printf("%-24s | ", source->name);
    puts(line);
}

static int add(struct logs *logs, const char *tenant, const char *unit, bool is_named)
{
    struct source *source = &logs->sources[logs->count];
    struct obs_reason why = {0};

    if (logs->count == STREAMS_MAX)
        return CLI_OK;
    if (log_stream_new(&logs->cli->paths, tenant, unit, logs->lines, logs->is_followed,
                       &source->stream, &why) < 0)
        return cli_fail("%s", why.text);
    if (is_named)
        (void)snprintf(source->name, sizeof(source->name), "%s/%s", tenant, unit);
    logs->count++;
    return CLI_OK;
}

static int add_all(struct logs *logs)
{
    static const char *const AGENTS[] = {PATHS_PLATFORM, PATHS_TENANT};
    int answers = 0, r = CLI_OK;

    for (size_t i = 0; i < OBS_COUNT(AGENTS); i++) {
        OBS_JSON status = NULL;
        size_t j;
        json_t *unit;

        if (agent_status(&logs->cli->paths, AGENTS[i], &status, NULL) < 0)
            continue;
        answers++;
        json_array_foreach (json_object_get(status, "units"), j, unit) {
            if (r == CLI_OK)
                r = add(logs, AGENTS[i], json_string_value(json_object_get(unit, "name")), true);
        }
    }
    if (answers > 0)
        return r;
    cli_fail("ObservaStack is not up");
    cli_next("what the platform's agent wrote last: %s/platform/log/agent.log",
             logs->cli->paths.state);
    return CLI_NOT_RUNNING;
}

static int add_one(struct logs *logs, const char *word)
{
    struct obs_reason why = {0};
    const char *unit;
    char tenant[64];
    int r = agent_find_unit(&logs->cli->paths, word, tenant, &unit, &why);

    if (agent_is_absent(r)) {
        cli_fail("ObservaStack is not up");
        return CLI_NOT_RUNNING;
    }
    return r == 0 ? add(logs, tenant, unit, logs->cli->word_count > 1) : cli_fail("%s", why.text);
}

static int read_all(struct logs *logs)
{
    struct pollfd waits[STREAMS_MAX];
    size_t open = logs->count;

    while (open > 0) {
        for (size_t i = 0; i < logs->count; i++)
            waits[i] = (struct pollfd){
                .fd = logs->sources[i].stream ? log_stream_fd(logs->sources[i].stream) : -1,
                .events = POLLIN};
        fflush(stdout);
        if (poll(waits, logs->count, -1) < 0 && errno != EINTR)
            return cli_fail("%s", strerror(errno));
        for (size_t i = 0; i < logs->count; i++) {
            struct obs_reason why = {0};
            int r;

            if (waits[i].fd < 0 || waits[i].revents == 0)
                continue;
            r = log_stream_read(logs->sources[i].stream, print_line, &logs->sources[i], &why);
            if (r == LOG_STREAM_MORE)
                continue;
            logs->sources[i].stream = log_stream_free(logs->sources[i].stream);
            open--;
            if (r < 0)
                return cli_fail("%s: %s", logs->sources[i].name, why.text);
        }
    }
    return ferror(stdout) ? CLI_FAILED : CLI_OK;
}

static int run_query(struct cli *cli, unsigned lines)
{
    struct log_query query = {
        .text = cli->values[LOGS_QUERY],
        .last = cli->values[LOGS_LAST],
        .tenant = cli->values[LOGS_TENANT],
        .telemetry = cli->values[LOGS_TELEMETRY],
        .limit = lines > 0 ? lines : 1,
    };

    if (cli->word_count == 0 && !cli_flag(cli, LOGS_FOLLOW))
        return log_query_run(cli, &query);
    cli_fail("--query goes with neither UNIT nor --follow: the query names what to read");
    return CLI_USAGE;
}

static int run(struct cli *cli)
{
    static struct logs logs;
    struct obs_reason why = {0};
    const char *text = cli->values[LOGS_LINES];
    uint64_t lines = cli->word_count > 0 || cli_flag(cli, LOGS_QUERY) ? 100 : 10;
    int r = CLI_OK;

    if (text[0] != '\0' && obs_text_parse_u64(text, strlen(text), 100000, &lines) != 0) {
        cli_fail("--lines %s: expected a number from 0 to 100000", text);
        return CLI_USAGE;
    }
    if (cli_flag(cli, LOGS_QUERY))
        return run_query(cli, (unsigned)lines);
    if (cli->is_json) {
        cli_fail("--json goes with --query: lines of a unit are as it wrote them");
        return CLI_USAGE;
    }
    if (privileges_drop(&why) < 0)
        return cli_fail("%s", why.text);
    logs.cli = cli;
    logs.lines = (unsigned)lines;
    logs.is_followed = cli_flag(cli, LOGS_FOLLOW);
    if (cli->word_count == 0)
        r = add_all(&logs);
    for (int i = 0; i < cli->word_count && r == CLI_OK; i++)
        r = add_one(&logs, cli->words[i]);
    if (r == CLI_OK)
        r = read_all(&logs);
    for (size_t i = 0; i < logs.count; i++)
        log_stream_free(logs.sources[i].stream);
    return r;
}

const struct cli_verb verb_logs = {
    .name = "logs",
    .words = "[UNIT...]",
    .summary = "what the processes wrote",
    .text =
        "UNIT is a name from observa status; platform/UNIT names one of the platform. Without one: "
        "all. observa logs --query '{service_name=\"orders\"} |= \"timeout\"' searches what the "
        "telemetry store holds.",
    .args = ARGS,
    .arg_count = OBS_COUNT(ARGS),
    .word_max = -1,
    .has_json = true,
    .run = run,
};
