/* Telemetry client: see telemetry_client.h. */
#include "cli/telemetry_client.h"

#include "base/http_client.h"
#include "base/text.h"
#include "cli/agent_client.h"
#include "cli/ports.h"
#include "cli/privileges.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define TARGET_MAX 12000
#define REPLY_MAX (64u << 20)
#define CALL_MS 30000

void telemetry_query_init(struct telemetry_query *query, const struct cli *cli, const char *address,
                          const char *tenant, const char *path)
{
    *query = (struct telemetry_query){cli, address, tenant, OBS_BUFFER_INIT(TARGET_MAX)};
    obs_buffer_append_text(&query->target, path);
}

void telemetry_query_done(struct telemetry_query *query)
{
    obs_buffer_done(&query->target);
}

void telemetry_query_add(struct telemetry_query *query, const char *name, const char *value)
{
    char encoded[TARGET_MAX];
    bool is_first = !strchr(query->target.data, '?');

    if (obs_text_percent_encode(value, strlen(value), encoded, sizeof(encoded)) != 0)
        query->target.error = -EMSGSIZE;
    else
        obs_buffer_printf(&query->target, "%c%s=%s", is_first ? '?' : '&', name, encoded);
}

void telemetry_query_add_number(struct telemetry_query *query, const char *name, uint64_t value)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%" PRIu64, value);
    telemetry_query_add(query, name, text);
}

/* ---- where ---- */

static int find_address(const struct telemetry_query *query, char out[PATHS_ROOM])
{
    const struct paths *paths = &query->cli->paths;
    OBS_JSON ports = NULL;
    char path[PATHS_ROOM];
    struct stat st;
    uint16_t port;

    if (query->address[0] != '\0') {
        (void)snprintf(out, PATHS_ROOM, "%s", query->address);
        return 0;
    }
    paths_format(path, "%s/platform/telemetry.sock", paths->run);
    if (stat(path, &st) == 0) {
        (void)paths_format(out, "unix:%s/platform/telemetry.sock", paths->run);
        return 0;
    }
    paths_format(path, "%s/platform/ports.json", paths->state);
    port = ports_read(path, &ports, NULL) == 0 ? ports_get(ports, "telemetry") : 0;
    if (port == 0)
        return -ENOENT;
    (void)snprintf(out, PATHS_ROOM, "tcp:127.0.0.1:%u", port);
    return 0;
}

static int not_running(const char *why)
{
    cli_fail("the telemetry store does not answer%s%s", why[0] ? ": " : "", why);
    cli_next("make up starts it; observa status says what runs");
    return CLI_NOT_RUNNING;
}

/* ---- asking ---- */

static int say_refusal(int status, const struct obs_buffer *body)
{
    OBS_JSON json = NULL;
    const char *text = body->data ? body->data : "";
    const char *why = NULL;

    if (obs_json_parse(text, body->size, &json, NULL) == 0)
        why = agent_refusal(json);
    if (!why && json) /* as Loki says it */
        why = json_string_value(json_object_get(json, "error"));
    return cli_fail("the telemetry store answered %d: %.300s", status, why ? why : text);
}

int telemetry_ask(struct telemetry_query *query, struct obs_buffer *ret_body)
{
    OBS_CLEANUP(obs_http_client_freep) struct obs_http_client *client = NULL;
    OBS_HTTP_REPLY reply = {0};
    struct obs_http_client_options options = {.body_bytes_max = REPLY_MAX};
    struct obs_http_call_header headers[] = {{"X-Scope-OrgID", query->tenant},
                                             {"Accept", "application/json"}};
    struct obs_http_call call = {.method = "GET",
                                 .target = query->target.data,
                                 .headers = headers,
                                 .header_count = OBS_COUNT(headers),
                                 .timeout_ms = CALL_MS};
    struct obs_reason why = {0};
    char address[PATHS_ROOM];
    int r;

    if (query->target.error) {
        cli_fail("the query is too long");
        return CLI_USAGE;
    }
    if (query->address[0] == '\0' && privileges_drop(&why) < 0)
        return cli_fail("%s", why.text);
    if (find_address(query, address) < 0)
        return not_running("");
    if (obs_address_parse(address, &options.address, &why) != 0) {
        cli_fail("%s", why.text);
        return CLI_USAGE;
    }
    r = obs_http_client_new(&options, &client);
    if (r == 0)
        r = obs_http_client_call(client, &call, &reply);
    if (agent_is_absent(r))
        return not_running(address);
    if (r < 0)
        return cli_fail("%s: %s", address, strerror(-r));
    *ret_body = reply.body;
    reply.body = OBS_BUFFER_INIT(0);
    return reply.status == 200 ? CLI_OK : say_refusal(reply.status, ret_body);
}

int telemetry_ask_json(struct telemetry_query *query, json_t **ret_json)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer body = OBS_BUFFER_INIT(REPLY_MAX);
    struct obs_reason why = {0};
    int r = telemetry_ask(query, &body);

    if (r != CLI_OK)
        return r;
    if (obs_json_parse(body.data ? body.data : "", body.size, ret_json, &why) != 0)
        return cli_fail("the telemetry store's answer is not JSON: %s", why.text);
    return CLI_OK;
}

/* ---- flags and what is shown ---- */

int telemetry_duration(const char *flag, const char *text, uint64_t *ret_ns)
{
    if (obs_text_parse_duration(text, ret_ns) == 0 && *ret_ns > 0)
        return CLI_OK;
    cli_fail("--%s %s: expected a duration such as 30s, 5m or 2h", flag, text);
    return CLI_USAGE;
}

int telemetry_count(const char *flag, const char *text, uint64_t max, uint64_t *ret_count)
{
    if (obs_text_parse_u64(text, strlen(text), max, ret_count) == 0 && *ret_count > 0)
        return CLI_OK;
    cli_fail("--%s %s: expected a number from 1 to %" PRIu64, flag, text, max);
    return CLI_USAGE;
}

unsigned telemetry_columns(void)
{
    struct winsize size = {0};

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        return 100;
    return size.ws_col < 60 ? 60 : size.ws_col;
}

char *telemetry_show_ns(uint64_t ns, char out[24])
{
    double value = (double)ns;

    if (ns < 1000)
        (void)snprintf(out, 24, "%" PRIu64 "ns", ns);
    else if (ns < 1000000)
        (void)snprintf(out, 24, "%.3gus", value / 1e3);
    else if (value < 999.5e6)
        (void)snprintf(out, 24, "%.3gms", value / 1e6);
    else
        (void)snprintf(out, 24, "%.2fs", value / 1e9);
    return out;
}

void telemetry_print_text(const char *text, unsigned columns)
{
    size_t size = strlen(text);

    for (unsigned shown = 0; size > 0 && (columns == 0 || shown < columns); shown++) {
        size_t length = obs_text_utf8_length(text, size);
        bool is_last = columns > 0 && shown + 1 == columns && size > length;
        /* C0, DEL and, in two bytes, C1: an escape sequence is not for our terminal. */
        bool is_control = length == 0 || (unsigned char)text[0] < ' ' || text[0] == 0x7f ||
                          ((unsigned char)text[0] == 0xc2 && (unsigned char)text[1] < 0xa0);

        if (length == 0)
            length = 1;
        if (is_last)
            fputs("…", stdout);
        else if (is_control)
            putchar(text[0] == '\t' ? ' ' : '.');
        else
            (void)fwrite(text, 1, length, stdout);
        text += length;
        size -= length;
    }
}
