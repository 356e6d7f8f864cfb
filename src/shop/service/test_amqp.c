#include "base/cleanup.h"
#include "shop/service/amqp.h"
#include "shop/service/broker_args.h"
#include "support/test.h"
#include <stdio.h>
#include <string.h>

static void backs_off_twice_as_long_up_to_a_second(void **state)
{
    static const unsigned FULL[] = {100, 200, 400, 800, 1000, 1000, 1000};

    for (unsigned i = 0; i < OBS_COUNT(FULL); i++) {
        assert_int_equal(amqp_backoff_ms(i + 1, 0), FULL[i]);
        assert_int_equal(amqp_backoff_ms(i + 1, 0xffff), FULL[i] - FULL[i] / 4);
    }
    assert_int_equal(amqp_backoff_ms(4000000000u, 0), 1000);
}

static void reads_broker_addresses(void **state)
{
    static const struct {
        const char *text, *host;
        int r;
    } CASES[] = {
        {"tcp:127.0.0.1:5672", "127.0.0.1", 0},
        {"tcp:[::1]:5672", "::1", 0},
        {"tcp:rabbit:1", "rabbit", 0},
        {"unix:/x", "", 1},
        {"tcp:rabbit", "", 1},
        {"tcp::5672", "", 1},
        {"tcp:rabbit:0", "", 1},
        {"tcp:rabbit:65536", "", 1},
        {"", "", 1},
    };

    for (size_t i = 0; i < OBS_COUNT(CASES); i++) {
        const char *values[BROKER_ARG_COUNT] = {CASES[i].text, "/", "guest", "file"};
        struct broker_address address = {0};
        struct obs_reason why = {0};
        assert_int_equal(broker_address_read(values, &address, &why), CASES[i].r);
        assert_string_equal(address.host, CASES[i].host);
        if (CASES[i].r != 0)
            assert_non_null(strstr(why.text, "--amqp"));
    }
}

static void reads_the_first_line_of_a_password_file(void **state)
{
    char path[] = "/tmp/obs-XXXXXX", password[8] = "";
    int fd = mkstemp(path);
    struct obs_reason why = {0};

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "secret\nmore", 11), 11);
    close(fd);
    assert_int_equal(amqp_password_read(path, password, sizeof(password), &why), 0);
    assert_string_equal(password, "secret");
    assert_true(amqp_password_read(path, password, 4, &why) < 0);
    unlink(path);
    assert_true(amqp_password_read(path, password, sizeof(password), &why) < 0);
    assert_non_null(strstr(why.text, path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backs_off_twice_as_long_up_to_a_second),
        cmocka_unit_test(reads_broker_addresses),
        cmocka_unit_test(reads_the_first_line_of_a_password_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
