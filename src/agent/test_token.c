#include "support/test.h"

#include "agent/token.h"
#include "support/agent_token.h"
#include <stdio.h>
#include <string.h>

#define NOW 1800000000

static char folder[] = "/tmp/agent-token-XXXXXX";
static struct token_checker *checker;

static int make(void **state)
{
    char path[100];

    if (!mkdtemp(folder))
        return -1;
    agent_token_make_keys(folder);
    snprintf(path, sizeof(path), "%s/public.pem", folder);
    return token_checker_new(path, "solo", &checker, NULL);
}

static int unmake(void **state)
{
    char path[100];

    token_checker_free(checker);
    snprintf(path, sizeof(path), "%s/public.pem", folder);
    unlink(path);
    snprintf(path, sizeof(path), "%s/private.pem", folder);
    unlink(path);
    return rmdir(folder);
}

static const struct agent_token GOOD = {"ES256", "observa", "solo", NOW, NOW + 300};

static int check(const struct agent_token *token, struct obs_reason *why)
{
    char *text = agent_token_sign(folder, token), header[2000];
    int r;

    snprintf(header, sizeof(header), "Bearer %s", text);
    r = token_check(checker, header, NOW, why);
    free(text);
    return r;
}

static void assert_refused(const struct agent_token *token, const char *reason)
{
    struct obs_reason why = {0};

    assert_int_equal(check(token, &why), TOKEN_REFUSED);
    if (!strstr(why.text, reason))
        fail_msg("expected \"%s\", got \"%s\"", reason, why.text);
}

static void takes_a_good_token(void **state)
{
    assert_int_equal(check(&GOOD, NULL), 0);
}

static void allows_five_seconds_of_clock_difference(void **state)
{
    struct agent_token token = GOOD;

    token.issued_s = NOW + 5;
    token.expires_s = NOW + 305;
    assert_int_equal(check(&token, NULL), 0);
    token.issued_s = NOW - 200;
    token.expires_s = NOW - 4;
    assert_int_equal(check(&token, NULL), 0);
    token.expires_s = NOW - 5;
    assert_refused(&token, "expired");
    token.issued_s = NOW + 6;
    token.expires_s = NOW + 100;
    assert_refused(&token, "in the future");
}

static void refuses_long_and_endless_lives(void **state)
{
    struct agent_token token = GOOD;

    token.expires_s = NOW + 301;
    assert_refused(&token, "longer than 300 s");
    token.expires_s = 0;
    assert_refused(&token, "no expiry");
    token = GOOD;
    token.issued_s = 0;
    assert_refused(&token, "no time of issue");
}

static void refuses_other_audiences_and_issuers(void **state)
{
    struct agent_token token = GOOD;

    token.audience = "other";
    assert_refused(&token, "another audience");
    token.audience = NULL;
    assert_refused(&token, "another audience");
    token = GOOD;
    token.issuer = "somebody";
    assert_refused(&token, "another issuer");
}

static void refuses_tokens_without_signature(void **state)
{
    struct agent_token token = GOOD;

    token.algorithm = "none";
    assert_refused(&token, "signature");
}

static void refuses_the_public_key_as_hmac_secret(void **state)
{
    struct agent_token token = GOOD;

    token.algorithm = "HS256";
    assert_refused(&token, "ES256");
}

static void refuses_another_key_and_a_changed_token(void **state)
{
    char other[] = "/tmp/agent-token-XXXXXX", header[2000], path[100];
    char *text;

    assert_non_null(mkdtemp(other));
    agent_token_make_keys(other);
    text = agent_token_sign(other, &GOOD);
    snprintf(header, sizeof(header), "Bearer %s", text);
    assert_int_equal(token_check(checker, header, NOW, NULL), TOKEN_REFUSED);
    free(text);
    snprintf(path, sizeof(path), "%s/public.pem", other);
    unlink(path);
    snprintf(path, sizeof(path), "%s/private.pem", other);
    unlink(path);
    rmdir(other);

    text = agent_token_sign(folder, &GOOD);
    snprintf(header, sizeof(header), "Bearer %s", text);
    char *payload = strchr(header, '.') + 5;
    *payload = *payload == 'A' ? 'B' : 'A';
    assert_int_equal(token_check(checker, header, NOW, NULL), TOKEN_REFUSED);
    free(text);
}

static void refuses_what_is_no_token(void **state)
{
    static const char *const HEADERS[] = {NULL,
                                          "",
                                          "Basic abc",
                                          "Bearer",
                                          "Bearer ",
                                          "Bearer x",
                                          "Bearer a.b.c",
                                          "Bearer ..",
                                          "Bearer eyJhbGciOiJFUzI1NiJ9..",
                                          "bearer \xff\xfe.\x01.\x02"};

    for (size_t i = 0; i < OBS_COUNT(HEADERS); i++)
        assert_int_equal(token_check(checker, HEADERS[i], NOW, NULL), TOKEN_REFUSED);
}

static void refuses_a_file_that_is_no_key(void **state)
{
    struct token_checker *none = NULL;
    struct obs_reason why = {0};

    assert_int_equal(token_checker_new("/nowhere/key", "solo", &none, &why), TOKEN_REFUSED);
    assert_non_null(strstr(why.text, "/nowhere/key"));
    assert_int_equal(token_checker_new("/etc/passwd", "solo", &none, &why), TOKEN_REFUSED);
    assert_non_null(strstr(why.text, "not a public key"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_a_good_token),
        cmocka_unit_test(allows_five_seconds_of_clock_difference),
        cmocka_unit_test(refuses_long_and_endless_lives),
        cmocka_unit_test(refuses_other_audiences_and_issuers),
        cmocka_unit_test(refuses_tokens_without_signature),
        cmocka_unit_test(refuses_the_public_key_as_hmac_secret),
        cmocka_unit_test(refuses_another_key_and_a_changed_token),
        cmocka_unit_test(refuses_what_is_no_token),
        cmocka_unit_test(refuses_a_file_that_is_no_key),
    };

    return cmocka_run_group_tests_name("token", tests, make, unmake);
}
