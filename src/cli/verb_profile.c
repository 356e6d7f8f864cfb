/* observa profile: where a service spends its CPU time, by function. */
#include "base/clock.h"
#include "base/text.h"
#include "cli/telemetry_client.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define BAR 20
#define FUNCTIONS_MAX 1000000

enum {
    PROFILE_LAST,
    PROFILE_DIFF,
    PROFILE_VERSION,
    PROFILE_TOP,
    PROFILE_FOLDED,
    PROFILE_TENANT,
    PROFILE_TELEMETRY
};
static const struct obs_arg ARGS[] = {
    [PROFILE_LAST] = {"last", NULL, "5m", "DURATION", "how far back"},
    [PROFILE_DIFF] = {"diff", NULL, "", "DURATION",
                      "compare with as much time, so long before (1h: with an hour ago)"},
    [PROFILE_VERSION] = {"version", NULL, "", "VERSION", "only windows with this version label"},
    [PROFILE_TOP] = {"top", NULL, "25", "NUMBER", "how many functions"},
    [PROFILE_FOLDED] = {"folded", NULL, "", NULL, "print folded stacks, for flame graph tools",
                        .is_switch = true},
    [PROFILE_TENANT] = TELEMETRY_TENANT_ARG,
    [PROFILE_TELEMETRY] = TELEMETRY_ARG,
};

struct function {
    const char *name;           /* a key of the index */
    uint64_t self[2], total[2]; /* nanoseconds; [1]: now, [0]: before */
    unsigned seen;              /* the last stack that it was in */
};

struct profile {
    struct cli *cli;
    json_t *index; /* name to place */
    struct function *functions;
    size_t count, room;
    uint64_t total[2];
    unsigned stacks;
    bool has_before;
};

/* ---- reading folded stacks ---- */

static int find(struct profile *p, const char *name, size_t size, struct function **ret_function)
{
    char key[1024];
    json_t *place;

    size = size < sizeof(key) ? size : sizeof(key) - 1;
    memcpy(key, name, size);
    key[size] = '\0';
    place = json_object_get(p->index, key);
    if (!place) {
        if (p->count == p->room) {
            size_t room = p->room ? p->room * 2 : 256;
            struct function *functions =
                p->count < FUNCTIONS_MAX ? realloc(p->functions, room * sizeof(*functions)) : NULL;

            if (!functions)
                return -ENOMEM;
            p->functions = functions;
            p->room = room;
        }
        if (json_object_set_new(p->index, key, json_integer((json_int_t)p->count)) < 0)
            return -ENOMEM;
        place = json_object_get(p->index, key);
        p->functions[p->count++] = (struct function){0};
    }
    *ret_function = &p->functions[json_integer_value(place)];
    return 0;
}

/* A function that calls itself counts once for the stack. */
static int take_stack(struct profile *p, int side, const char *at, const char *end, uint64_t ns)
{
    struct function *function = NULL;
    int r = 0;

    p->stacks++;
    p->total[side] += ns;
    while (at < end && r == 0) {
        const char *semicolon = memchr(at, ';', (size_t)(end - at));
        const char *stop = semicolon ? semicolon : end;

        r = find(p, at, (size_t)(stop - at), &function);
        if (r == 0 && function->seen != p->stacks) {
            function->seen = p->stacks;
            function->total[side] += ns;
        }
        at = stop + 1;
    }
    if (r == 0 && function)
        function->self[side] += ns;
    return r;
}

static int take_folded(struct profile *p, int side, const char *at)
{
    int r = 0;

    while (*at != '\0' && r == 0) {
        const char *end = at + strcspn(at, "\n");
        const char *space = memrchr(at, ' ', (size_t)(end - at));
        uint64_t ns;

        if (!space ||
            obs_text_parse_u64(space + 1, (size_t)(end - space - 1), UINT64_MAX, &ns) != 0)
            return cli_fail("the telemetry store's answer is not folded stacks");
        if (take_stack(p, side, at, space, ns) < 0)
            return cli_fail("there are too many functions");
        at = *end ? end + 1 : end;
    }
    return CLI_OK;
}

/* ---- asking ---- */

static int append_label(struct obs_buffer *b, const char *name, const char *value)
{
    obs_buffer_printf(b, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            obs_buffer_append_char(b, '\\');
        obs_buffer_append_char(b, *value);
    }
    return obs_buffer_append_char(b, '"');
}

static int ask(struct profile *p, uint64_t from_ns, uint64_t until_ns, struct obs_buffer *ret_body)
{
    const char *const *values = p->cli->values;
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer query = OBS_BUFFER_INIT(4096);
    TELEMETRY_QUERY ask = {0};

    obs_buffer_append_text(&query, "process_cpu:cpu:nanoseconds:cpu:nanoseconds{");
    append_label(&query, "service_name", p->cli->words[0]);
    if (values[PROFILE_VERSION][0] != '\0') {
        obs_buffer_append_char(&query, ',');
        append_label(&query, "version", values[PROFILE_VERSION]);
    }
    obs_buffer_append_char(&query, '}');
    telemetry_query_init(&ask, p->cli, values[PROFILE_TELEMETRY], values[PROFILE_TENANT],
                         "/pyroscope/render");
    telemetry_query_add(&ask, "query", query.data);
    telemetry_query_add_number(&ask, "from", from_ns);
    telemetry_query_add_number(&ask, "until", until_ns);
    telemetry_query_add(&ask, "format", "folded");
    return telemetry_ask(&ask, ret_body);
}

static int read_side(struct profile *p, int side, uint64_t from_ns, uint64_t until_ns)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer body = {0};
    int r = ask(p, from_ns, until_ns, &body);

    return r == CLI_OK ? take_folded(p, side, body.data ? body.data : "") : r;
}

/* ---- printing ---- */

static double share(uint64_t part, uint64_t whole)
{
    return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}

static const struct profile *sorted; /* qsort() has no userdata */

static double change(const struct function *f)
{
    return share(f->self[1], sorted->total[1]) - share(f->self[0], sorted->total[0]);
}

static int compare(const void *a, const void *b)
{
    const struct function *x = a, *y = b;
    double by_change = sorted->has_before ? fabs(change(y)) - fabs(change(x)) : 0;

    if (by_change != 0)
        return by_change > 0 ? 1 : -1;
    if (x->self[1] != y->self[1])
        return x->self[1] < y->self[1] ? 1 : -1;
    if (x->total[1] != y->total[1])
        return x->total[1] < y->total[1] ? 1 : -1;
    return strcmp(x->name, y->name);
}

static void sort(struct profile *p)
{
    const char *name;
    json_t *place;

    json_object_foreach (p->index, name, place)
        p->functions[json_integer_value(place)].name = name;
    sorted = p;
    if (p->count > 0)
        qsort(p->functions, p->count, sizeof(*p->functions), compare);
}

/* Self in full, what it calls in outline. */
static void print_bar(const struct cli *cli, double self, double total)
{
    int full = (int)(self * BAR / 100 + 0.5), all = (int)(total * BAR / 100 + 0.5);

    fputs(cli->is_colourful ? "\033[33m" : "", stdout);
    for (int i = 0; i < BAR; i++)
        fputs(i < full ? "█" : i < all ? "░" : " ", stdout);
    fputs(cli->is_colourful ? "\033[0m" : "", stdout);
}

static void print_function(const struct profile *p, const struct function *f)
{
    double self = share(f->self[1], p->total[1]), total = share(f->total[1], p->total[1]);
    char own[24], all[24];

    if (p->has_before)
        printf("%6.1f%% %6.1f%% %+7.1f%%  ", share(f->self[0], p->total[0]), self, change(f));
    else
        printf("%6.1f%% %9s %6.1f%% %9s  ", self, telemetry_show_ns(f->self[1], own), total,
               telemetry_show_ns(f->total[1], all));
    print_bar(p->cli, self, total);
    printf("  ");
    telemetry_print_text(f->name, telemetry_columns() - 60);
    putchar('\n');
}

static void print_table(const struct profile *p, uint64_t top)
{
    char now[24], before[24];

    printf("%s: %s of CPU time", p->cli->words[0], telemetry_show_ns(p->total[1], now));
    if (p->has_before)
        printf(", %s before", telemetry_show_ns(p->total[0], before));
    printf("\n%s\n", p->has_before
                         ? " before     now   change  self █ with callees ░    function"
                         : "   self           total            self █ with callees ░    function");
    for (size_t i = 0; i < p->count && i < top; i++)
        print_function(p, &p->functions[i]);
}

static int print_json(const struct profile *p, uint64_t from_ns, uint64_t until_ns, uint64_t top)
{
    OBS_JSON functions = json_array();
    OBS_JSON out = NULL;

    for (size_t i = 0; i < p->count && i < top; i++) {
        const struct function *f = &p->functions[i];
        json_t *row = json_pack("{s:s, s:I, s:I}", "name", f->name, "self_ns",
                                (json_int_t)f->self[1], "total_ns", (json_int_t)f->total[1]);

        if (p->has_before) {
            (void)json_object_set_new(row, "self_before_ns", json_integer((json_int_t)f->self[0]));
            (void)json_object_set_new(row, "total_before_ns",
                                      json_integer((json_int_t)f->total[0]));
        }
        (void)json_array_append_new(functions, row);
    }
    out = json_pack("{s:s, s:I, s:I, s:I, s:O}", "service", p->cli->words[0], "from_ns",
                    (json_int_t)from_ns, "until_ns", (json_int_t)until_ns, "total_ns",
                    (json_int_t)p->total[1], "functions", functions);
    if (p->has_before)
        (void)json_object_set_new(out, "total_before_ns", json_integer((json_int_t)p->total[0]));
    (void)json_dumpf(out, stdout, JSON_INDENT(2));
    putchar('\n');
    return CLI_OK;
}

static int print_folded(struct profile *p, uint64_t from_ns, uint64_t until_ns)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer body = {0};
    int r = ask(p, from_ns, until_ns, &body);

    if (r == CLI_OK && body.size > 0)
        (void)fwrite(body.data, 1, body.size, stdout);
    return r;
}

static int nothing(const struct profile *p)
{
    cli_fail("there is no profile of %s in that time", p->cli->words[0]);
    cli_next("services push a window every ten seconds that they use the CPU; try --last 1h");
    return CLI_FAILED;
}

static int show(struct profile *p, uint64_t last_ns, uint64_t diff_ns, uint64_t top)
{
    uint64_t now_ns = obs_time_ns(), from_ns = now_ns - last_ns;
    int r;

    if (cli_flag(p->cli, PROFILE_FOLDED))
        return print_folded(p, from_ns, now_ns);
    r = read_side(p, 1, from_ns, now_ns);
    if (r == CLI_OK && p->has_before)
        r = read_side(p, 0, from_ns - diff_ns, now_ns - diff_ns);
    if (r != CLI_OK)
        return r;
    sort(p);
    if (p->cli->is_json)
        return print_json(p, from_ns, now_ns, top);
    if (p->count == 0)
        return nothing(p);
    print_table(p, top);
    return CLI_OK;
}

static int run(struct cli *cli)
{
    struct profile p = {.cli = cli, .index = json_object()};
    uint64_t last_ns = 0, diff_ns = 0, top = 0;
    int r = telemetry_duration("last", cli->values[PROFILE_LAST], &last_ns);

    if (r == CLI_OK)
        r = telemetry_count("top", cli->values[PROFILE_TOP], 100000, &top);
    p.has_before = cli->values[PROFILE_DIFF][0] != '\0';
    if (r == CLI_OK && p.has_before)
        r = telemetry_duration("diff", cli->values[PROFILE_DIFF], &diff_ns);
    if (r == CLI_OK)
        r = show(&p, last_ns, diff_ns, top);
    json_decref(p.index);
    free(p.functions);
    return r;
}

const struct cli_verb verb_profile = {
    .name = "profile",
    .words = "SERVICE",
    .summary = "where a service spends its CPU time, by function",
    .text = "Reads the continuous profiles of the telemetry store. Self: in the function itself; "
            "total: with what it calls. With --diff the functions whose share changed most come "
            "first.",
    .word_min = 1,
    .word_max = 1,
    .has_json = true,
    .args = ARGS,
    .arg_count = OBS_COUNT(ARGS),
    .run = run,
};
