#include "support/test.h"

#include "otel/endpoint.h"
#include <stdlib.h>
#include <string.h>

static int set_headers(const char *value)
{
    return value ? setenv("OTEL_EXPORTER_OTLP_HEADERS", value, 1)
                 : unsetenv("OTEL_EXPORTER_OTLP_HEADERS");
}

static void reads_addresses_and_prefixes(void **state)
{
    struct obs_endpoint endpoint;

    set_headers(NULL);
    assert_int_equal(obs_endpoint_parse("http://127.0.0.1:4318/otlp/", &endpoint, NULL), 0);
    assert_string_equal(endpoint.prefix, "/otlp");
    assert_string_equal(endpoint.client.host, "127.0.0.1:4318");
    assert_string_equal(endpoint.client.headers, "");
    assert_int_equal(obs_endpoint_parse("unix:/run/x.sock", &endpoint, NULL), 0);
}

static void refuses_what_is_no_endpoint(void **state)
{
    static const char *const CASES[] = {"",        "https://x:1",  "x:4318",
                                        "http://", "http://u@h:1", "http://h:1?x"};
    struct obs_endpoint endpoint;
    struct obs_reason why;

    for (size_t i = 0; i < OBS_COUNT(CASES); i++)
        if (obs_endpoint_parse(CASES[i], &endpoint, &why) != OBS_ENDPOINT_REFUSED)
            fail_msg("\"%s\" was taken", CASES[i]);
}

static void sends_the_headers_of_the_environment(void **state)
{
    struct obs_endpoint endpoint;

    set_headers("X-Scope-OrgID=solo, authorization=Bearer%20a%3Db");
    assert_int_equal(obs_endpoint_parse("unix:/run/x.sock", &endpoint, NULL), 0);
    assert_string_equal(endpoint.client.headers,
                        "X-Scope-OrgID: solo\r\nauthorization: Bearer a=b\r\n");
}

static void leaves_out_headers_that_would_break_a_request(void **state)
{
    struct obs_endpoint endpoint;
    char text[2000] = "good=1,long=";

    set_headers("a=x%0d%0ay: z,b c=d,=e,novalue,bad=%zz,,good=1");
    assert_int_equal(obs_endpoint_parse("unix:/run/x.sock", &endpoint, NULL), 0);
    assert_string_equal(endpoint.client.headers, "good: 1\r\n");
    memset(text + strlen(text), 'x', 1500);
    set_headers(text);
    assert_int_equal(obs_endpoint_parse("unix:/run/x.sock", &endpoint, NULL), 0);
    assert_string_equal(endpoint.client.headers, "good: 1\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_addresses_and_prefixes),
        cmocka_unit_test(refuses_what_is_no_endpoint),
        cmocka_unit_test(sends_the_headers_of_the_environment),
        cmocka_unit_test(leaves_out_headers_that_would_break_a_request),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
