#include "support/test.h"

#include "agent/unit.h"
#include <signal.h>
#include <string.h>

static struct variables *standard(void)
{
    struct variables *v = NULL;

    assert_int_equal(variables_new(NULL, &v), 0);
    assert_int_equal(variables_set(v, "state", "/s", NULL), 0);
    assert_int_equal(variables_set(v, "run", "/r", NULL), 0);
    return v;
}

static struct unit_table *parse(const char *source)
{
    OBS_CLEANUP(variables_freep) struct variables *v = standard();
    struct unit_table *table = NULL;
    struct obs_reason why = {0};

    if (unit_table_parse(source, strlen(source), v, &table, &why) != 0)
        fail_msg("refused: %s", why.text);
    return table;
}

/* @source is refused at @line, and the reason holds @text. */
static void assert_refused(const char *source, unsigned line, const char *text)
{
    OBS_CLEANUP(variables_freep) struct variables *v = standard();
    struct unit_table *table = NULL;
    struct obs_reason why = {0};

    assert_int_equal(unit_table_parse(source, strlen(source), v, &table, &why), UNIT_REFUSED);
    assert_null(table);
    if (!strstr(why.text, text) || why.line != line)
        fail_msg("expected \"%s\" at line %u, got line %u: %s", text, line, why.line, why.text);
}

static void reads_a_unit_with_everything(void **state)
{
    OBS_CLEANUP(unit_table_freep)
    struct unit_table *table = parse(
        "units:\n"
        "  first: {exec: [true], kind: task}\n"
        "  web:\n"
        "    exec: [nginx, -c, \"${state}/nginx.conf\"]\n"
        "    directory: ${state}\n"
        "    folders: [\"${state}/a\", \"${state}/b\"]\n"
        "    sockets: [\"${run}/w.sock\"]\n"
        "    environment: {A: b, N: 4, S: {file: \"${state}/secret\"}}\n"
        "    after: [first]\n"
        "    required: false\n"
        "    ready: {http: \"unix:${run}/w.sock\", path: /ok, timeout: 1s, within: 30s}\n"
        "    liveness: {connect: \"unix:${run}/w.sock\", failures: 5}\n"
        "    restart: {backoff: 100ms, limit: 3}\n"
        "    stop: {signal: QUIT, timeout: 2s}\n"
        "    death_signal: INT\n"
        "    reload: HUP\n"
        "    templates: [{source: /a, target: /b, mode: \"0640\"}]\n"
        "    settings: gateway\n"
        "    check: [nginx, -t, -c, \"${template}\"]\n"
        "    log: {format: nginx-access, routes: [/a, \"/b/{id}\"], stub_status: \"unix:/x\"}\n");
    struct unit *web = unit_table_find(table, "web");

    assert_int_equal(table->count, 2);
    assert_non_null(web);
    assert_string_equal(web->argv[2], "/s/nginx.conf");
    assert_null(web->argv[3]);
    assert_string_equal(web->folders[1], "/s/b");
    assert_int_equal(web->environment_count, 3);
    assert_string_equal(web->environment[2].file, "/s/secret");
    assert_int_equal(web->after_count, 1);
    assert_string_equal(web->after[0]->name, "first");
    assert_false(web->is_required);
    assert_int_equal(web->ready.kind, UNIT_PROBE_HTTP);
    assert_int_equal(web->ready.within_ms, 30000);
    assert_int_equal(web->ready.interval_ms, 5000);
    assert_int_equal(web->liveness.failures, 5);
    assert_int_equal(web->restart.backoff_ms, 100);
    assert_int_equal(web->restart.backoff_max_ms, 10000);
    assert_int_equal(web->restart.limit, 3);
    assert_int_equal(web->stop_signal, SIGQUIT);
    assert_int_equal(web->death_signal, SIGINT);
    assert_int_equal(web->reload_signal, SIGHUP);
    assert_int_equal(web->templates[0].mode, 0640);
    assert_string_equal(web->check[3], "${template}");
    assert_string_equal(web->log_service, "web");
    assert_string_equal(web->log_routes[1], "/b/{id}");
    assert_true(web->has_stub_status);
}

static void leaves_out_a_unit_that_is_switched_off(void **state)
{
    OBS_CLEANUP(unit_table_freep)
    struct unit_table *table = parse("units:\n"
                                     "  a: {exec: [true], enabled: \"${with_a:-false}\"}\n"
                                     "  b: {exec: [true], after: [a]}\n");

    assert_int_equal(table->count, 1);
    assert_int_equal(table->units[0]->after_count, 0);
}

static void a_death_signal_is_the_stop_signal_unless_said(void **state)
{
    OBS_CLEANUP(unit_table_freep)
    struct unit_table *table = parse("units:\n  a: {exec: [x], stop: {signal: INT}}\n");

    assert_int_equal(table->units[0]->death_signal, SIGINT);
}

static void refuses_bad_yaml_with_its_line(void **state)
{
    assert_refused("units:\n  a: {exec: [x}\n", 2, "line 2");
    assert_refused("", 1, "expected one document");
    assert_refused("units: 4\n", 1, "\"units\"");
    assert_refused("units:\n  a: {exec: [x]}\nmore: 1\n", 1, "one key");
}

static void refuses_unknown_keys_with_their_line(void **state)
{
    assert_refused("units:\n"
                   "  a:\n"
                   "    exec: [x]\n"
                   "  b:\n"
                   "    exec: [x]\n"
                   "    exek: [y]\n",
                   6, "b.exek: there is no such key");
    assert_refused("units:\n  a:\n    exec: [x]\n    ready: {http: \"unix:/x\", pat: /y}\n", 4,
                   "a.ready: there is no key \"pat\"");
}

static void refuses_missing_variables_with_their_line(void **state)
{
    assert_refused("units:\n"
                   "  a:\n"
                   "    exec: [x]\n"
                   "  b:\n"
                   "    # a comment with exec: in it\n"
                   "    exec:\n"
                   "      - x\n"
                   "      - ${nowhere}\n",
                   6, "there is no variable \"nowhere\"");
    assert_refused("units:\n  a:\n    exec: [\"${open\"]\n", 3, "closing brace");
}

static void refuses_cycles_and_units_that_do_not_exist(void **state)
{
    assert_refused("units:\n"
                   "  a: {exec: [x], after: [c]}\n"
                   "  b: {exec: [x], after: [a]}\n"
                   "  c:\n"
                   "    exec: [x]\n"
                   "    after: [b]\n",
                   3, "a cycle");
    assert_refused("units:\n  a:\n    exec: [x]\n    after: [a]\n", 4, "a cycle");
    assert_refused("units:\n  a:\n    exec: [x]\n    after: [z]\n", 4, "there is no unit \"z\"");
}

static void refuses_values_that_make_no_sense(void **state)
{
    static const struct {
        const char *line, *text;
    } CASES[] = {
        {"kind: demon", "expected one of service, task"},
        {"exec: x", "expected a list"},
        {"exec: []", "expected a program"},
        {"required: maybe", "expected true or false"},
        {"stop: {timeout: 5}", "expected a duration"},
        {"stop: {signal: BOO}", "is no signal"},
        {"ready: {}", "expected one of http"},
        {"ready: {http: \"unix:/x\", path: y}", "begins with \"/\""},
        {"ready: {http: \"carrier-pigeon:/x\"}", "pigeon"},
        {"restart: {limit: 0}", "expected a number"},
        {"restart: {backoff: 1m}", "backoff_max is less"},
        {"templates: [{source: /x}]", "source and target"},
        {"templates: [{source: /x, target: /y, mode: 999}]", "expected a mode"},
        {"settings: redis", "needs \"address\""},
        {"check: [x]", "\"check\" needs"},
        {"environment: [a]", "expected a map"},
        {"environment: {\"a=b\": c}", "no name of an environment variable"},
        {"log: {format: xml}", "expected one of text"},
    };

    for (size_t i = 0; i < OBS_COUNT(CASES); i++) {
        bool has_exec = strncmp(CASES[i].line, "exec", 4) == 0;
        char source[300];
        OBS_CLEANUP(variables_freep) struct variables *v = standard();
        struct unit_table *table = NULL;
        struct obs_reason why = {0};

        snprintf(source, sizeof(source), "units:\n  a:\n%s    %s\n",
                 has_exec ? "" : "    exec: [x]\n", CASES[i].line);
        assert_int_equal(unit_table_parse(source, strlen(source), v, &table, &why), UNIT_REFUSED);
        if (!strstr(why.text, CASES[i].text) || why.line < 2)
            fail_msg("%s: got line %u: %s", CASES[i].line, why.line, why.text);
    }
    assert_refused("units:\n  A: {exec: [x]}\n", 2, "a name is made of");
    assert_refused("units:\n  a: {kind: service}\n", 2, "\"exec\" is missing");
    assert_refused("units:\n  a: {kind: task, exec: [x], ready: {connect: \"unix:/x\"}}\n", 2,
                   "a task has no probes");
}

static void names_the_file_that_cannot_be_read(void **state)
{
    OBS_CLEANUP(variables_freep) struct variables *v = standard();
    struct unit_table *table = NULL;
    struct obs_reason why = {0};

    assert_int_equal(unit_table_read("/nowhere/units.yaml", v, &table, &why), UNIT_REFUSED);
    assert_non_null(strstr(why.text, "/nowhere/units.yaml: No such file"));
}

static void knows_signals_by_name(void **state)
{
    assert_int_equal(unit_signal_parse("SIGUSR1"), SIGUSR1);
    assert_int_equal(unit_signal_parse("TERM"), SIGTERM);
    assert_int_equal(unit_signal_parse("term"), 0);
    assert_string_equal(unit_signal_name(SIGKILL), "KILL");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_unit_with_everything),
        cmocka_unit_test(leaves_out_a_unit_that_is_switched_off),
        cmocka_unit_test(a_death_signal_is_the_stop_signal_unless_said),
        cmocka_unit_test(refuses_bad_yaml_with_its_line),
        cmocka_unit_test(refuses_unknown_keys_with_their_line),
        cmocka_unit_test(refuses_missing_variables_with_their_line),
        cmocka_unit_test(refuses_cycles_and_units_that_do_not_exist),
        cmocka_unit_test(refuses_values_that_make_no_sense),
        cmocka_unit_test(names_the_file_that_cannot_be_read),
        cmocka_unit_test(knows_signals_by_name),
    };

    return cmocka_run_group_tests_name("unit", tests, NULL, NULL);
}
