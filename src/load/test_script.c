#include "load/cookies.h"
#include "load/plan.h"
#include "load/pointer.h"
#include "load/script.h"
#include "support/test.h"
#include <math.h>
#include <string.h>

static struct script *parse(const char *text)
{
    struct obs_reason why = {0};
    struct script *script = NULL;
    int r = script_parse(text, strlen(text), NULL, &script, &why);

    if (r != 0)
        print_error("%s\n", why.text);
    assert_int_equal(r, 0);
    return script;
}

static void refused(const char *text, const char *expected)
{
    struct obs_reason why = {0};
    struct script *script = NULL;

    assert_int_equal(script_parse(text, strlen(text), NULL, &script, &why), SCRIPT_REFUSED);
    if (!strstr(why.text, expected))
        print_error("\"%s\" has no \"%s\"\n", why.text, expected);
    assert_non_null(strstr(why.text, expected));
}

#define STEP(fields) "{\"journeys\":[{\"name\":\"a\",\"steps\":[{" fields "}]}]}"

static void refusals_name_the_field_and_what_would_be_right(void **state)
{
    refused("{", "");
    refused("[]", "is not an object");
    refused("{}", "journeys is missing: expected a list");
    refused("{\"journeys\":[{}]}", "journeys[0].name is missing: expected a text");
    refused("{\"journeys\":[{\"name\":\"a\",\"steps\":[]}]}", "journeys[0].steps is []");
    refused("{\"journey\":[]}", "has no field \"journey\": known are name");
    refused(STEP("\"target\":\"home\""),
            "journeys[0].steps[0].target is \"home\": expected a path");
    refused(STEP("\"target\":\"/\",\"method\":\"GETT\""),
            "steps[0].method is \"GETT\": expected one");
    refused(STEP("\"target\":\"/{x}\""), "target has {x}, which is no variable");
    refused(STEP("\"target\":\"/\",\"status\":99"), "status is 99: expected 200");
    refused(STEP("\"target\":\"/\",\"checks\":[{\"json\":\"/a\",\"op\":\"=\"}]"),
            "journeys[0].steps[0].checks[0].op is \"=\": expected one of ==, !=");
    refused(STEP("\"target\":\"/\",\"checks\":[{\"json\":\"a\",\"op\":\"==\"}]"), "a JSON Pointer");
    refused(STEP("\"target\":\"/\",\"checks\":[{}]"), "checks nothing");
    refused(STEP("\"target\":\"/\",\"headers\":{\"Host\":\"x\"}"), "which is set by observa-load");
    refused(STEP("\"target\":\"/\",\"headers\":{\"A\":\"x\\r\\nB: y\"}"), "a text of one line");
    refused(STEP("\"target\":\"/\",\"headers\":{\"a b\":\"x\"}"), "no header name");
    refused(STEP("\"target\":\"/\",\"retry\":{\"attempts\":2,\"on\":[\"error\"]}"),
            "retry.on is [\"error\"]: expected a list of timeout");
    refused(STEP("\"target\":\"/\",\"think\":[\"2s\",\"1s\"]"), "think is");
    refused(STEP("\"target\":\"/\",\"timeout\":\"0s\""), "timeout is \"0s\"");
    refused(STEP("\"target\":\"/\",\"poll\":{\"every\":\"1s\",\"for\":\"5s\"}"),
            "poll.until is missing");
    refused(STEP("\"target\":\"/\",\"accepted_order\":\"id\""),
            "a variable that this step extracts");
    refused("{\"variables\":{\"A\":{\"uuid\":true}},\"journeys\":[]}", "variables.A is no name");
    refused("{\"variables\":{\"a\":{\"pick\":[]}},\"journeys\":[]}", "variables.a.pick is []");
    refused("{\"variables\":{\"a\":{\"integer\":{\"from\":3,\"to\":1}}},\"journeys\":[]}",
            "variables.a.integer.to is 1");
    refused("{\"journeys\":[{\"name\":\"a\",\"weight\":0,\"steps\":[{\"target\":\"/\"}]}]}",
            "journeys have no weight");
    refused("{\"journeys\":[{\"name\":\"a\",\"then\":\"b\",\"steps\":[{\"target\":\"/\"}]}]}",
            "journeys[0].then is \"b\": expected the name of a journey");
}

static void a_variable_must_be_set_before_it_is_used(void **state)
{
    refused("{\"journeys\":[{\"name\":\"a\",\"steps\":["
            "{\"target\":\"/{id}\"},{\"target\":\"/\",\"extract\":{\"id\":{\"json\":\"/id\"}}}]}]}",
            "journeys[0].steps[0] uses {id} before a step has extracted it");
    script_free(parse("{\"journeys\":["
                      "{\"name\":\"a\",\"then\":\"b\",\"steps\":["
                      "{\"target\":\"/\",\"extract\":{\"id\":{\"json\":\"/id\"}}}]},"
                      "{\"name\":\"b\",\"weight\":0,\"steps\":[{\"target\":\"/{id}\"}]}]}"));
}

static void emit(const struct script *script, const struct template *t, const char *expected)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer b = OBS_BUFFER_INIT(1000);
    char *extracted[] = {"a\"b &/"};
    struct variable_values values = {.seed = 5, .user = 12, .arrival = 3, .extracted = extracted};

    assert_int_equal(template_emit(t, &script->variables, &values, &b), 0);
    assert_string_equal(b.data, expected);
}

static void values_cannot_break_out_of_their_place(void **state)
{
    struct script *script =
        parse("{\"journeys\":[{\"name\":\"a\",\"steps\":["
              "{\"target\":\"/\",\"extract\":{\"v\":{\"json\":\"/v\"}}},"
              "{\"method\":\"POST\",\"target\":\"/x/{v}?u={user}\",\"headers\":{\"X\":\"<{v}>\"},"
              "\"body\":{\"v\":\"{v}\",\"n\":\"{user}\",\"t\":\"u-{user}\",\"s\":{}}}]}]}");
    const struct step *step = &script->journeys[0].steps[1];

    emit(script, step->target, "/x/a%22b%20%26%2F?u=12");
    emit(script, step->headers, "X: <a\"b &/>\r\n");
    emit(script, step->body, "{\"v\":\"a\\\"b &/\",\"n\":12,\"t\":\"u-12\",\"s\":{}}");
    script_free(script);
}

static void braces_that_are_no_variable_stay(void **state)
{
    struct script *script = parse(STEP("\"method\":\"POST\",\"target\":\"/\","
                                       "\"body\":\"{\\\"a\\\":{\\\"b\\\":{user}},{{user}}\""));

    emit(script, script->journeys[0].steps[0].body, "{\"a\":{\"b\":12},{user}}");
    script_free(script);
}

static void made_values_repeat_with_the_seed(void **state)
{
    struct script *script = parse(
        "{\"variables\":{\"i\":{\"integer\":{\"from\":5,\"to\":9}},\"z\":{\"zipf\":{\"from\":1,"
        "\"to\":100,\"exponent\":1}},\"p\":{\"pick\":[\"x\",\"y\"]},\"u\":{\"uuid\":true}},"
        "\"journeys\":[{\"name\":\"a\",\"steps\":[{\"target\":\"/{i}/{z}/{p}/{u}\"}]}]}");
    const struct step *step = &script->journeys[0].steps[0];
    struct obs_buffer first = OBS_BUFFER_INIT(1000), again = OBS_BUFFER_INIT(1000);
    unsigned ones = 0;

    for (uint64_t seed = 0; seed < 2000; seed++) {
        struct variable_values values = {.seed = seed};
        int i, z;
        char p;

        obs_buffer_clear(&first);
        obs_buffer_clear(&again);
        assert_int_equal(template_emit(step->target, &script->variables, &values, &first), 0);
        assert_int_equal(template_emit(step->target, &script->variables, &values, &again), 0);
        assert_string_equal(first.data, again.data);
        assert_int_equal(sscanf(first.data, "/%d/%d/%c/", &i, &z, &p), 3);
        assert_true(i >= 5 && i <= 9 && z >= 1 && z <= 100 && (p == 'x' || p == 'y'));
        assert_int_equal(strlen(strrchr(first.data, '/')), 37);
        ones += z == 1;
    }
    assert_true(ones > 300 && ones < 470); /* 1 / H(100) = 19.3 % */
    obs_buffer_done(&first);
    obs_buffer_done(&again);
    script_free(script);
}

static void checks_compare_as_they_say(void **state)
{
    static const struct {
        const char *check, *body;
        bool holds;
    } CASES[] = {
        {"{\"json\":\"/a\",\"op\":\">\",\"value\":1}", "{\"a\":2}", true},
        {"{\"json\":\"/a\",\"op\":\">\",\"value\":2}", "{\"a\":2}", false},
        {"{\"json\":\"/a\",\"op\":\">=\",\"value\":2}", "{\"a\":2.0}", true},
        {"{\"json\":\"/a\",\"op\":\"==\",\"value\":2}", "{\"a\":\"2\"}", false},
        {"{\"json\":\"/a\",\"op\":\"==\",\"value\":\"{user}\"}", "{\"a\":12}", true},
        {"{\"json\":\"/a\",\"op\":\"==\",\"value\":\"{user}\"}", "{\"a\":\"12\"}", true},
        {"{\"json\":\"/a\",\"op\":\"!=\",\"value\":\"x\"}", "{\"a\":\"y\"}", true},
        {"{\"json\":\"/a/1/~1\",\"op\":\"exists\"}", "{\"a\":[1,{\"/\":null}]}", true},
        {"{\"json\":\"/a/2\",\"op\":\"exists\"}", "{\"a\":[1,2]}", false},
        {"{\"json\":\"/a\",\"op\":\"in\",\"value\":[1,\"b\"]}", "{\"a\":\"b\"}", true},
        {"{\"json\":\"/a\",\"op\":\"in\",\"value\":[1,\"b\"]}", "{\"a\":\"c\"}", false},
        {"{\"json\":\"/a\",\"op\":\"<\",\"value\":5}", "{\"a\":\"x\"}", false},
        {"{\"json\":\"/a\",\"op\":\"==\",\"value\":true}", "{\"a\":true}", true},
    };
    struct variable_table table;
    struct variable_values values = {.user = 12};

    variable_table_init(&table);
    for (size_t i = 0; i < OBS_COUNT(CASES); i++) {
        OBS_JSON json = json_loads(CASES[i].check, 0, NULL);
        OBS_JSON body = json_loads(CASES[i].body, 0, NULL);
        struct check *check = NULL;

        assert_int_equal(check_parse(json, NULL, &table, &check, NULL), 0);
        if (check_json(check, body, &table, &values) != CASES[i].holds)
            print_error("%s of %s\n", CASES[i].check, CASES[i].body);
        assert_int_equal(check_json(check, body, &table, &values), CASES[i].holds);
        assert_false(check_json(check, NULL, &table, &values));
        check_free(check);
    }
    variable_table_done(&table);
}

static void set_cookie(struct cookies **cookies, const char *text)
{
    cookies_set(cookies, (struct obs_span_text){text, strlen(text)});
}

static void cookies_are_kept_replaced_and_ended(void **state)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer b = OBS_BUFFER_INIT(100000);
    struct cookies *cookies = NULL;
    char big[5000];

    set_cookie(&cookies, "a=1; Path=/; HttpOnly");
    set_cookie(&cookies, " b = 2 ;Secure");
    set_cookie(&cookies, "a=3");
    set_cookie(&cookies, "none");
    set_cookie(&cookies, "=x");
    assert_int_equal(cookies_emit(cookies, &b), 0);
    assert_string_equal(b.data, "Cookie: b=2; a=3\r\n");
    set_cookie(&cookies, "b=; Max-Age=0");
    assert_null(cookies_find(cookies, "b"));
    assert_string_equal(cookies_find(cookies, "a"), "3");
    memset(big, 'x', sizeof(big));
    memcpy(big, "big=", 4);
    big[sizeof(big) - 1] = '\0';
    set_cookie(&cookies, big);
    assert_null(cookies_find(cookies, "big"));
    for (int i = 0; i < 100; i++) {
        char text[20];

        snprintf(text, sizeof(text), "n%d=1", i);
        set_cookie(&cookies, text);
    }
    assert_non_null(cookies_find(cookies, "n10"));
    assert_null(cookies_find(cookies, "n90"));
    cookies_free(cookies);
}

#define TWO                                                                                        \
    "{\"pattern\":{\"type\":\"constant\",\"rate\":10},\"journeys\":["                              \
    "{\"name\":\"a\",\"weight\":3,\"steps\":[{\"target\":\"/\"}]},"                                \
    "{\"name\":\"b\",\"weight\":1,\"steps\":[{\"target\":\"/\"}]}]}"

static void a_plan_changes_or_stays_as_a_whole(void **state)
{
    struct script *script = parse(TWO);
    struct plan *plan = NULL, *next = NULL;
    struct obs_reason why = {0};
    OBS_JSON good = json_loads("{\"rate\":50,\"mix\":{\"a\":1},\"scale\":2}", 0, NULL);
    OBS_JSON bad = json_loads("{\"rate\":50,\"mix\":{\"c\":1}}", 0, NULL);
    OBS_JSON empty = json_loads("{\"mix\":{\"a\":0,\"b\":0}}", 0, NULL);
    OBS_JSON pause = json_loads("{\"paused\":true}", 0, NULL);
    OBS_JSON reset = json_object();

    assert_int_equal(plan_new(script, NULL, &plan), 0);
    assert_true(plan_rate(plan, 0) == 10);
    assert_true(fabs(plan_share(plan, script, 0) - 0.75) < 1e-12);
    assert_int_equal(plan_change(script, plan, bad, false, 5, &next, &why), PLAN_REFUSED);
    assert_string_equal(why.text, "mix has \"c\": there is no journey of that name");
    assert_int_equal(plan_change(script, plan, empty, false, 5, &next, &why), PLAN_REFUSED);
    assert_null(next);
    assert_int_equal(plan_change(script, plan, good, false, 5, &next, &why), 0);
    assert_true(plan_rate(next, 5) == 100);
    assert_true(plan_share(next, script, 0) == 0.5);
    plan_unref(plan);
    assert_int_equal(plan_change(script, next, pause, false, 1000000005, &plan, &why), 0);
    assert_true(plan_rate(plan, 2000000000) == 0);
    assert_true(fabs(plan_time(plan, 3000000000) - 1) < 1e-9); /* the pattern's time stands still */
    plan_unref(next);
    assert_int_equal(plan_change(script, plan, reset, true, 7, &next, &why), 0);
    assert_true(plan_rate(next, 7) == 10);
    plan_unref(plan);
    plan_unref(next);
    script_free(script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals_name_the_field_and_what_would_be_right),
        cmocka_unit_test(a_variable_must_be_set_before_it_is_used),
        cmocka_unit_test(values_cannot_break_out_of_their_place),
        cmocka_unit_test(braces_that_are_no_variable_stay),
        cmocka_unit_test(made_values_repeat_with_the_seed),
        cmocka_unit_test(checks_compare_as_they_say),
        cmocka_unit_test(cookies_are_kept_replaced_and_ended),
        cmocka_unit_test(a_plan_changes_or_stays_as_a_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
