#include "support/test.h"

#include "base/file.h"
#include "cli/ports.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define SEED 4711

static char folder[64], path[96];

static int make_folder(void **state)
{
    (void)snprintf(folder, sizeof(folder), "/tmp/test-ports-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(path, sizeof(path), "%s/ports.json", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)unlink(path);
    return rmdir(folder);
}

static int forget(void **state)
{
    (void)unlink(path);
    return 0;
}

/* Listen on @port of loopback until the descriptor is closed; 0 takes any. */
static int occupy(uint16_t port, uint16_t *ret_port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static void chooses_a_different_port_for_each_name(void **state)
{
    OBS_JSON ports = NULL;
    const char *a_name, *b_name;
    json_t *a, *b;

    assert_int_equal(ports_choose(path, SEED, 0, &ports, NULL), PORTS_OK);
#define COUNT_PORT(name) +1
    assert_int_equal(json_object_size(ports), 0 PORTS(COUNT_PORT));
#undef COUNT_PORT
    json_object_foreach (ports, a_name, a) {
        assert_in_range(json_integer_value(a), 20000, 31999);
        json_object_foreach (ports, b_name, b)
            assert_true(a_name == b_name || !json_equal(a, b));
    }
}

static void keeps_what_it_chose(void **state)
{
    OBS_JSON first = NULL;
    OBS_JSON second = NULL;
    OBS_JSON read = NULL;

    assert_int_equal(ports_choose(path, SEED, 0, &first, NULL), PORTS_OK);
    assert_int_equal(ports_choose(path, SEED + 100, 0, &second, NULL), PORTS_OK);
    assert_true(json_equal(first, second));
    assert_int_equal(ports_read(path, &read, NULL), PORTS_OK);
    assert_true(json_equal(first, read));
}

static void leaves_a_kept_port_that_was_taken_meanwhile(void **state)
{
    OBS_JSON first = NULL;
    OBS_JSON second = NULL;
    OBS_CLEANUP(obs_closep) int other = -1;
    uint16_t port;

    assert_int_equal(ports_choose(path, SEED, 0, &first, NULL), PORTS_OK);
    other = occupy(ports_get(first, "amqp"), &port);
    assert_int_equal(ports_choose(path, SEED, 0, &second, NULL), PORTS_OK);
    assert_int_not_equal(ports_get(second, "amqp"), port);
    assert_int_equal(ports_get(second, "epmd"), ports_get(first, "epmd"));
}

static void refuses_an_asked_port_that_is_taken(void **state)
{
    OBS_JSON ports = NULL;
    OBS_CLEANUP(obs_closep) int other = -1;
    struct obs_reason why = {0};
    uint16_t port;

    other = occupy(0, &port);
    assert_false(ports_is_free(port));
    assert_int_equal(ports_choose(path, SEED, port, &ports, &why), PORTS_REFUSED);
    assert_non_null(strstr(why.text, "taken"));
    assert_null(ports);
}

static void chooses_anew_when_the_file_is_damaged(void **state)
{
    OBS_JSON ports = NULL;

    assert_int_equal(obs_file_write_atomic(path, "{\"amqp\":", 8, 0600, NULL), 0);
    assert_int_equal(ports_read(path, &ports, NULL), PORTS_REFUSED);
    assert_int_equal(ports_choose(path, SEED, 0, &ports, NULL), PORTS_OK);
    assert_int_not_equal(ports_get(ports, "amqp"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(chooses_a_different_port_for_each_name, forget),
        cmocka_unit_test_teardown(keeps_what_it_chose, forget),
        cmocka_unit_test_teardown(leaves_a_kept_port_that_was_taken_meanwhile, forget),
        cmocka_unit_test_teardown(refuses_an_asked_port_that_is_taken, forget),
        cmocka_unit_test_teardown(chooses_anew_when_the_file_is_damaged, forget),
    };

    return cmocka_run_group_tests_name("cli/ports", tests, make_folder, remove_folder);
}
