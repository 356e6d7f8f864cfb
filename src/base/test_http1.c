#include "support/test.h"

#include "base/http1.h"
#include <string.h>

static struct obs_http1_head head;
static int status;
static struct obs_reason why;

static int parse(const char *data, size_t size)
{
    size_t scanned = 0;

    status = 0;
    why.text[0] = '\0';
    return obs_http1_parse_request(data, size, &scanned, &head, &status, &why);
}

#define PARSE(text) parse((text), sizeof(text) - 1)

static void assert_span(struct obs_span_text span, const char *expected)
{
    assert_int_equal(span.size, strlen(expected));
    assert_memory_equal(span.text, expected, span.size);
}

static void reads_a_plain_request(void **state)
{
    assert_int_equal(
        PARSE("GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-Empty:\r\nX-Two:  a b \t\r\n\r\nrest"),
        OBS_HTTP1_DONE);
    assert_span(head.method, "GET");
    assert_span(head.target, "/a?b=c");
    assert_int_equal(head.header_count, 3);
    assert_span(*obs_http1_find(&head, "x-two"), "a b");
    assert_span(*obs_http1_find(&head, "x-empty"), "");
    assert_null(obs_http1_find(&head, "x-none"));
    assert_true(head.keep_alive);
    assert_int_equal(head.framing, OBS_HTTP1_NO_BODY);
    assert_int_equal(
        head.size,
        sizeof("GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-Empty:\r\nX-Two:  a b \t\r\n\r\n") - 1);
}

static void waits_for_the_rest_of_a_request_cut_anywhere(void **state)
{
    static const char text[] = "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n";

    for (size_t size = 0; size < sizeof(text) - 1; size++)
        assert_int_equal(parse(text, size), OBS_HTTP1_MORE);
    assert_int_equal(PARSE(text), OBS_HTTP1_DONE);
    assert_int_equal(head.content_length, 3);
}

static void ignores_one_empty_line_before_a_request(void **state)
{
    assert_int_equal(PARSE("\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"), OBS_HTTP1_DONE);
    assert_span(head.target, "/");
    assert_int_equal(PARSE("\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"), OBS_HTTP1_BAD);
}

static void reduces_an_absolute_target_to_its_path(void **state)
{
    assert_int_equal(PARSE("GET http://shop/a HTTP/1.1\r\nHost: shop\r\n\r\n"), OBS_HTTP1_DONE);
    assert_span(head.target, "/a");
    assert_int_equal(PARSE("GET http://shop HTTP/1.1\r\nHost: shop\r\n\r\n"), OBS_HTTP1_DONE);
    assert_span(head.target, "/");
}

static void refuses_what_two_readers_could_read_differently(void **state)
{
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"GET / HTTP/1.1\nHost: x\n\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\ry\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\r\nNoColon\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\r\n: empty\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\r\nB\x01: a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\r\nB: a\x7f\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
        {"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET a HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET /\r\nHost: x\r\n\r\n", 400},
        {"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505},
        {"GET / HTTP/1.2\r\nHost: x\r\n\r\n", 505},
        {"GET / HTCPCP/1.1\r\nHost: x\r\n\r\n", 400},
        {"\x16\x03\x01\x02", 400},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: \r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
         400},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
         "chunked\r\n\r\n",
         400},
        {"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n", 501},
        {"POST / HTTP/1.1\r\nHost: x\r\nExpect: a pony\r\n\r\n", 417},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int outcome = parse(cases[i].text, strlen(cases[i].text));

        if (outcome != OBS_HTTP1_BAD || status != cases[i].status || why.text[0] == '\0')
            fail_msg("case %zu (%s): outcome %d, status %d, reason \"%s\"", i, cases[i].text,
                     outcome, status, why.text);
    }
    assert_int_equal(PARSE("GET / HTTP/1.1\r\nHost: x\r\nB: a\0b\r\n\r\n"), OBS_HTTP1_BAD);
    assert_int_equal(PARSE("GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n"), OBS_HTTP1_BAD);
}

static void refuses_more_headers_than_its_limit(void **state)
{
    char text[8192] = "GET / HTTP/1.1\r\nHost: x\r\n";

    for (int i = 0; i < OBS_HTTP1_HEADERS_MAX; i++)
        strcat(text, "A: b\r\n");
    strcat(text, "\r\n");
    assert_int_equal(parse(text, strlen(text)), OBS_HTTP1_BAD);
    assert_int_equal(status, 431);
}

static void knows_when_a_connection_stays_open(void **state)
{
    assert_int_equal(PARSE("GET / HTTP/1.1\r\nHost: x\r\nConnection: foo , Close\r\n\r\n"), 0);
    assert_false(head.keep_alive);
    assert_int_equal(PARSE("GET / HTTP/1.0\r\n\r\n"), 0);
    assert_false(head.keep_alive);
    assert_int_equal(PARSE("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), 0);
    assert_true(head.keep_alive);
    assert_int_equal(PARSE("PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\n\r\n"), 0);
    assert_true(head.expect_continue);
}

static int parse_response(const char *text, bool was_head)
{
    size_t scanned = 0;

    return obs_http1_parse_response(text, strlen(text), &scanned, was_head, &head, &why);
}

static void reads_responses_and_their_framing(void **state)
{
    assert_int_equal(parse_response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false), 0);
    assert_int_equal(head.status, 200);
    assert_int_equal(head.framing, OBS_HTTP1_LENGTH);
    assert_int_equal(parse_response("HTTP/1.1 200\r\n\r\n", false), 0);
    assert_int_equal(head.framing, OBS_HTTP1_UNTIL_CLOSE);
    assert_false(head.keep_alive);
    assert_int_equal(parse_response("HTTP/1.1 204 No\r\n\r\n", false), 0);
    assert_int_equal(head.framing, OBS_HTTP1_NO_BODY);
    assert_true(head.keep_alive);
    assert_int_equal(parse_response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true), 0);
    assert_int_equal(head.framing, OBS_HTTP1_NO_BODY);
    assert_int_equal(parse_response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false),
                     0);
    assert_int_equal(head.framing, OBS_HTTP1_CHUNKED);
}

static void refuses_bad_responses(void **state)
{
    static const char *const cases[] = {
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 600 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "garbage",
        "HTTP/1.1 200 O\x01K\r\n\r\n",
        "HTTP/1.1 200 OK\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (parse_response(cases[i], false) != OBS_HTTP1_BAD)
            fail_msg("case %zu was taken: %s", i, cases[i]);
}

/* Decode @raw given @step bytes at a time. Return: the last outcome; *ret_out holds the body. */
static int decode(const char *raw, size_t step, char *ret_out, size_t *ret_used)
{
    struct obs_http1_head chunked = {.framing = OBS_HTTP1_CHUNKED};
    struct obs_http1_body body;
    size_t at = 0, size = strlen(raw), out = 0;
    int r = OBS_HTTP1_MORE;

    obs_http1_body_init(&body, &chunked);
    while (r == OBS_HTTP1_MORE && at < size) {
        struct obs_span_text piece;
        size_t used, take = size - at < step ? size - at : step;

        r = obs_http1_body_next(&body, raw + at, take, &used, &piece, &why);
        if (r == OBS_HTTP1_BAD)
            break;
        memcpy(ret_out + out, piece.text, piece.size);
        out += piece.size;
        at += used;
    }
    ret_out[out] = '\0';
    *ret_used = at;
    return r;
}

static void decodes_chunks_in_any_split(void **state)
{
    static const char raw[] =
        "5;name=\"v\"\r\nhello\r\n0A\r\n, world!!!\r\n0\r\nTrailer: x\r\n\r\nNEXT";

    for (size_t step = 1; step < sizeof(raw); step++) {
        char out[64];
        size_t used;

        assert_int_equal(decode(raw, step, out, &used), OBS_HTTP1_DONE);
        assert_string_equal(out, "hello, world!!!");
        assert_int_equal(used, sizeof(raw) - 1 - 4);
    }
}

static void refuses_bad_chunks(void **state)
{
    static const char *const cases[] = {
        "\r\n",
        "x\r\n",
        "-1\r\n",
        " 5\r\nhello\r\n",
        "5 \r\nhello",
        "5\nhello\r\n",
        "5\r\nhelloXX",
        "5\r\nhello\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\n",
        "0\r\n bad\r\n\r\n",
        "0\r\nA: \x01\r\n\r\n",
        "0\r\nA: b\n\r\n",
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char out[64];
        size_t used;

        if (decode(cases[i], 64, out, &used) != OBS_HTTP1_BAD)
            fail_msg("case %zu was taken: %s", i, cases[i]);
    }
}

static void bounds_chunk_extensions_and_trailers(void **state)
{
    struct obs_http1_head chunked = {.framing = OBS_HTTP1_CHUNKED};
    struct obs_http1_body body;
    struct obs_span_text piece;
    size_t used;
    int r;

    obs_http1_body_init(&body, &chunked);
    r = obs_http1_body_next(&body, "1;", 2, &used, &piece, &why);
    for (int i = 0; i < 100000 && r == OBS_HTTP1_MORE; i++)
        r = obs_http1_body_next(&body, "x", 1, &used, &piece, &why);
    assert_int_equal(r, OBS_HTTP1_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_plain_request),
        cmocka_unit_test(waits_for_the_rest_of_a_request_cut_anywhere),
        cmocka_unit_test(ignores_one_empty_line_before_a_request),
        cmocka_unit_test(reduces_an_absolute_target_to_its_path),
        cmocka_unit_test(refuses_what_two_readers_could_read_differently),
        cmocka_unit_test(refuses_more_headers_than_its_limit),
        cmocka_unit_test(knows_when_a_connection_stays_open),
        cmocka_unit_test(reads_responses_and_their_framing),
        cmocka_unit_test(refuses_bad_responses),
        cmocka_unit_test(decodes_chunks_in_any_split),
        cmocka_unit_test(refuses_bad_chunks),
        cmocka_unit_test(bounds_chunk_extensions_and_trailers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
