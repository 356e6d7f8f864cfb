#include "support/test.h"

#include "base/clock.h"
#include "cli/keys.h"
#include <errno.h>
#include <jwt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64], private_path[96], public_path[96], secret_path[96];

static int make_folder(void **state)
{
    (void)snprintf(folder, sizeof(folder), "/tmp/test-keys-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(private_path, sizeof(private_path), "%s/agent.key", folder);
    (void)snprintf(public_path, sizeof(public_path), "%s/agent.pub", folder);
    (void)snprintf(secret_path, sizeof(secret_path), "%s/secret", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)unlink(private_path);
    (void)unlink(public_path);
    (void)unlink(secret_path);
    return rmdir(folder);
}

static void signs_tokens_that_the_public_key_proves(void **state)
{
    char *token = NULL, *key = NULL;
    jwt_t *jwt = NULL;
    long now = (long)(obs_time_ns() / OBS_NS_PER_SECOND);

    assert_int_equal(keys_make_pair(private_path, public_path, NULL), 0);
    assert_int_equal(keys_token(private_path, "solo", 60, &token, NULL), 0);
    assert_int_equal(keys_read_secret(public_path, &key, NULL), 0);
    assert_int_equal(jwt_decode(&jwt, token, (const unsigned char *)key, (int)strlen(key)), 0);
    assert_int_equal(jwt_get_alg(jwt), JWT_ALG_ES256);
    assert_string_equal(jwt_get_grant(jwt, "iss"), "observa");
    assert_string_equal(jwt_get_grant(jwt, "aud"), "solo");
    assert_in_range(jwt_get_grant_int(jwt, "iat"), now - 1, now + 1);
    assert_int_equal(jwt_get_grant_int(jwt, "exp") - jwt_get_grant_int(jwt, "iat"), 60);
    jwt_free(jwt);
    free(token);
    free(key);
}

static void makes_each_secret_once_for_its_owner_alone(void **state)
{
    struct stat status;
    char *first = NULL, *second = NULL;

    assert_int_equal(keys_make_secret(secret_path, NULL), 0);
    assert_int_equal(keys_read_secret(secret_path, &first, NULL), 0);
    assert_int_equal(keys_make_secret(secret_path, NULL), 0);
    assert_int_equal(keys_read_secret(secret_path, &second, NULL), 0);
    assert_int_equal(strlen(first), 48);
    assert_string_equal(first, second);
    assert_int_equal(stat(secret_path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    free(first);
    free(second);
}

static void says_which_key_is_missing(void **state)
{
    struct obs_reason why = {0};
    char *token = NULL;

    assert_int_equal(keys_token("/nonexistent/agent.key", "solo", 60, &token, &why), -ENOENT);
    assert_non_null(strstr(why.text, "/nonexistent/agent.key"));
    assert_int_equal(keys_token(secret_path, "solo", 60, &token, &why), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signs_tokens_that_the_public_key_proves),
        cmocka_unit_test(makes_each_secret_once_for_its_owner_alone),
        cmocka_unit_test(says_which_key_is_missing),
    };

    return cmocka_run_group_tests_name("cli/keys", tests, make_folder, remove_folder);
}
