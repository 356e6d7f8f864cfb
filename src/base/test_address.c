#include "support/test.h"

#include "base/address.h"
#include "support/scratch.h"
#include <netinet/in.h>
#include <poll.h>
#include <sys/un.h>

static void reads_both_forms(void **state)
{
    struct obs_address a;

    assert_int_equal(obs_address_parse("unix:/run/x.sock", &a, NULL), OBS_ADDRESS_OK);
    assert_int_equal(a.socket_address.ss_family, AF_UNIX);
    assert_string_equal(((struct sockaddr_un *)&a.socket_address)->sun_path, "/run/x.sock");
    assert_int_equal(obs_address_port(&a), 0);
    assert_int_equal(obs_address_parse("tcp:127.0.0.1:8080", &a, NULL), OBS_ADDRESS_OK);
    assert_int_equal(obs_address_port(&a), 8080);
    assert_int_equal(ntohl(((struct sockaddr_in *)&a.socket_address)->sin_addr.s_addr), 0x7F000001);
    assert_int_equal(obs_address_parse("tcp:[::1]:65535", &a, NULL), OBS_ADDRESS_OK);
    assert_int_equal(a.socket_address.ss_family, AF_INET6);
    assert_int_equal(obs_address_port(&a), 65535);
    assert_string_equal(a.text, "tcp:[::1]:65535");
    assert_int_equal(obs_address_parse("tcp:localhost:1", &a, NULL), OBS_ADDRESS_OK);
}

static void refuses_what_is_no_address(void **state)
{
    static const char *const bad[] = {"",
                                      "unix:",
                                      "/run/x.sock",
                                      "tcp:",
                                      "tcp:127.0.0.1",
                                      "tcp::80",
                                      "tcp:127.0.0.1:",
                                      "tcp:127.0.0.1:65536",
                                      "tcp:127.0.0.1:-1",
                                      "tcp:127.0.0.1:http",
                                      "tcp:::1:80",
                                      "tcp:[::1:80",
                                      "tcp:[]:80",
                                      "http://127.0.0.1:80",
                                      "tcp:127.0.0.1:80 ",
                                      "tcp:[::1]80"};
    struct obs_address a = {.size = 99};
    struct obs_reason why;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        why.text[0] = '\0';
        assert_int_equal(obs_address_parse(bad[i], &a, &why), OBS_ADDRESS_REFUSED);
        assert_true(strlen(why.text) > 0);
    }
    assert_int_equal(a.size, 99); /* untouched */
}

static void refuses_a_path_longer_than_the_kernel_takes(void **state)
{
    char text[400];
    struct obs_address a;
    struct obs_reason why;

    snprintf(text, sizeof(text), "unix:/%0106d", 0); /* 107 bytes: the longest */
    assert_int_equal(obs_address_parse(text, &a, &why), OBS_ADDRESS_OK);
    snprintf(text, sizeof(text), "unix:/%0107d", 0);
    assert_int_equal(obs_address_parse(text, &a, &why), OBS_ADDRESS_REFUSED);
    assert_non_null(strstr(why.text, "107"));
    snprintf(text, sizeof(text), "unix:/%0300d", 0);
    assert_int_equal(obs_address_parse(text, &a, &why), OBS_ADDRESS_REFUSED);
}

static struct obs_address unix_address(struct scratch *s, const char *name)
{
    char text[160];
    struct obs_address a;

    snprintf(text, sizeof(text), "unix:%s", scratch_path(s, name));
    assert_int_equal(obs_address_parse(text, &a, NULL), OBS_ADDRESS_OK);
    return a;
}

static bool is_connected(int fd, int listener)
{
    struct pollfd wait = {.fd = listener, .events = POLLIN};
    int accepted = poll(&wait, 1, 5000) == 1 ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : -1;

    if (accepted < 0)
        return false;
    close(accepted);
    return fd >= 0;
}

static void connects_to_what_listens(void **state)
{
    SCRATCH s = scratch_new();
    struct obs_address addresses[2] = {unix_address(&s, "x.sock")};

    assert_int_equal(obs_address_parse("tcp:127.0.0.1:0", &addresses[1], NULL), OBS_ADDRESS_OK);
    for (int i = 0; i < 2; i++) {
        OBS_CLEANUP(obs_closep) int listener = -1;
        OBS_CLEANUP(obs_closep) int fd = -1;

        assert_int_equal(obs_address_listen(&addresses[i], 16, false, &listener, NULL), 0);
        assert_int_equal(fcntl(listener, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        assert_int_equal(fcntl(listener, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
        assert_int_equal(obs_address_connect(&addresses[i], &fd), 0);
        assert_true(is_connected(fd, listener));
    }
    assert_true(obs_address_port(&addresses[1]) > 0); /* port 0 became a real one, also in words */
    assert_int_equal(atoi(strrchr(addresses[1].text, ':') + 1), obs_address_port(&addresses[1]));
}

static void replaces_a_stale_socket_but_not_a_live_one(void **state)
{
    SCRATCH s = scratch_new();
    struct obs_address a = unix_address(&s, "x.sock");
    OBS_CLEANUP(obs_closep) int second = -1;
    struct obs_reason why;
    int first = -1;

    assert_int_equal(obs_address_listen(&a, 16, false, &first, &why), 0);
    assert_int_equal(obs_address_listen(&a, 16, false, &second, &why), OBS_ADDRESS_REFUSED);
    assert_non_null(strstr(why.text, "in use"));
    assert_non_null(strstr(why.text, a.text));
    close(first); /* as after kill -9: the file stays, nobody accepts */
    assert_int_equal(access(scratch_path(&s, "x.sock"), F_OK), 0);
    assert_int_equal(obs_address_listen(&a, 16, false, &second, &why), 0);
}

static void never_removes_a_file_that_is_no_socket(void **state)
{
    SCRATCH s = scratch_new();
    struct obs_address a = unix_address(&s, "precious");
    struct obs_reason why;
    int fd = -1;

    scratch_write(scratch_path(&s, "precious"), "x", 1);
    assert_int_equal(obs_address_listen(&a, 16, false, &fd, &why), OBS_ADDRESS_REFUSED);
    assert_non_null(strstr(why.text, "not a socket"));
    assert_int_equal(access(scratch_path(&s, "precious"), F_OK), 0);
}

static void sockets_have_the_mode_asked_for_whatever_the_umask(void **state)
{
    SCRATCH s = scratch_new();
    mode_t before = umask(0077);

    for (int group = 0; group < 2; group++) {
        struct obs_address a = unix_address(&s, group ? "group" : "own");
        OBS_CLEANUP(obs_closep) int fd = -1;
        struct stat st;

        assert_int_equal(obs_address_listen(&a, 16, group, &fd, NULL), 0);
        assert_int_equal(stat(scratch_path(&s, group ? "group" : "own"), &st), 0);
        assert_int_equal(st.st_mode & 0777, group ? 0660 : 0600);
        umask(0); /* and without any umask */
    }
    umask(before);
}

static bool is_refused_for_permission(void *userdata)
{
    struct obs_address *a = userdata;
    struct obs_reason why = {0};
    int fd = -1;

    return scratch_become_nobody() &&
           obs_address_listen(a, 16, false, &fd, &why) == OBS_ADDRESS_REFUSED &&
           strstr(why.text, "permission");
}

static void says_what_is_wrong_with_the_place(void **state)
{
    SCRATCH s = scratch_new();
    struct obs_address a = unix_address(&s, "missing/x.sock");
    struct obs_reason why;
    int fd = -1;

    assert_int_equal(obs_address_listen(&a, 16, false, &fd, &why), OBS_ADDRESS_REFUSED);
    assert_non_null(strstr(why.text, "folder does not exist"));
    a = unix_address(&s, "x.sock");
    chmod(s.path, 0555);
    assert_true(scratch_in_child(is_refused_for_permission, &a));
    assert_int_equal(obs_address_parse("tcp:192.0.2.1:0", &a, NULL), OBS_ADDRESS_OK);
    assert_int_equal(obs_address_listen(&a, 16, false, &fd, &why), OBS_ADDRESS_REFUSED);
    assert_non_null(strstr(why.text, "not an address of this machine"));
    assert_int_equal(fd, -1);
}

static void a_taken_port_is_refused(void **state)
{
    OBS_CLEANUP(obs_closep) int first = -1;
    OBS_CLEANUP(obs_closep) int second = -1;
    struct obs_address a;
    struct obs_reason why;

    assert_int_equal(obs_address_parse("tcp:127.0.0.1:0", &a, NULL), OBS_ADDRESS_OK);
    assert_int_equal(obs_address_listen(&a, 16, false, &first, &why), 0);
    assert_int_equal(obs_address_listen(&a, 16, false, &second, &why), OBS_ADDRESS_REFUSED);
    assert_non_null(strstr(why.text, "in use"));
}

static void connecting_to_nobody_is_an_error(void **state)
{
    SCRATCH s = scratch_new();
    struct obs_address a = unix_address(&s, "nobody");
    int fd = -1;

    assert_int_equal(obs_address_connect(&a, &fd), -ENOENT);
    assert_int_equal(fd, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_both_forms),
        cmocka_unit_test(refuses_what_is_no_address),
        cmocka_unit_test(refuses_a_path_longer_than_the_kernel_takes),
        cmocka_unit_test(connects_to_what_listens),
        cmocka_unit_test(replaces_a_stale_socket_but_not_a_live_one),
        cmocka_unit_test(never_removes_a_file_that_is_no_socket),
        cmocka_unit_test(sockets_have_the_mode_asked_for_whatever_the_umask),
        cmocka_unit_test(says_what_is_wrong_with_the_place),
        cmocka_unit_test(a_taken_port_is_refused),
        cmocka_unit_test(connecting_to_nobody_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
