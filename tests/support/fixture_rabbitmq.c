#include "support/fixture_rabbitmq.h"

/*
 * The node is started as erl itself, not by the package's script: that one insists on root or
 * rabbitmq and on the system's folders. A folder of links to the plugins that are needed halves the
 * boot, which is mostly path search. epmd is ours and runs first; a node that finds none starts one
 * that outlives it.
 */
#include "support/fixture_process.h"
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#define PACKAGE "/usr/lib/rabbitmq/lib/rabbitmq_server-3.10.8"
#define RUN_AS "nobody"
#define PASSWORD "not-a-secret"
enum { READY_MS = 60000, PORT_FIRST = 20000, PORT_COUNT = 12000 };

static const char *const PLUGINS[] = {
    "rabbit-3.10.8",
    "rabbit_common-3.10.8",
    "rabbitmq_prelaunch-3.10.8",
    "ranch-",
    "recon-",
    "aten-",
    "ra-",
    "gen_batch_server-",
    "osiris-",
    "seshat-",
    "stdout_formatter-",
    "syslog-",
    "sysmon_handler-",
    "systemd-",
    "credentials_obfuscation-",
    "cuttlefish-",
    "getopt-",
    "enough-",
    "observer_cli-",
    "jsx-",
    "amqp10_common-3.10.8",
};

struct fixture_rabbitmq {
    char folder[64], address[32], password_file[96];
    uint16_t port, epmd_port, distribution_port;
    struct fixture_process *epmd, *node;
};

/* ---- ports ---- */

static bool is_free(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    OBS_CLEANUP(obs_closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    return fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
}

static uint16_t pick_port(void)
{
    uint16_t random = 0;

    for (;;) {
        uint16_t port;
        if (getrandom(&random, sizeof(random), 0) != sizeof(random))
            continue;
        port = (uint16_t)(PORT_FIRST + random % PORT_COUNT);
        if (is_free(port))
            return port;
    }
}

/* ---- folder ---- */

static int write_file(const char *folder, const char *name, const char *text, mode_t mode)
{
    char path[160];
    OBS_CLEANUP(obs_closep) int fd = -1;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || fchmod(fd, mode) < 0)
        return -errno;
    return 0;
}

static int link_plugins(const char *folder)
{
    char script[2048], path[96];
    size_t size = (size_t)snprintf(script, sizeof(script), "cd '%s/plugins'", folder);
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};

    snprintf(path, sizeof(path), "%s/plugins", folder);
    if (mkdir(path, 0755) < 0)
        return -errno;
    for (size_t i = 0; i < OBS_COUNT(PLUGINS); i++)
        size += (size_t)snprintf(script + size, sizeof(script) - size,
                                 " && ln -s " PACKAGE "/plugins/%s* .", PLUGINS[i]);
    return fixture_process_run(&(struct fixture_process_options){.argv = argv}, 10000, NULL) == 0
               ? 0
               : -EIO;
}

static int prepare_folder(struct fixture_rabbitmq *m)
{
    char config[1024];
    int r = fixture_folder_new(RUN_AS, m->folder);

    if (r == 0)
        r = link_plugins(m->folder);
    snprintf(config, sizeof(config),
             "listeners.tcp.1 = 127.0.0.1:%u\n"
             "loopback_users = none\n"
             "default_vhost = " FIXTURE_RABBITMQ_NAME "\n"
             "default_user = " FIXTURE_RABBITMQ_NAME "\n"
             "default_pass = " PASSWORD "\n"
             "log.console = true\n"
             "log.file = false\n"
             "vm_memory_high_watermark.absolute = 256MiB\n"
             "disk_free_limit.absolute = 16MiB\n"
             "num_acceptors.tcp = 2\n",
             m->port);
    if (r == 0)
        r = write_file(m->folder, "rabbitmq.conf", config, 0644);
    if (r == 0)
        r = write_file(m->folder, "enabled_plugins", "[].\n", 0644);
    if (r == 0)
        r = write_file(m->folder, "password", PASSWORD "\n", 0644);
    snprintf(m->password_file, sizeof(m->password_file), "%s/password", m->folder);
    return r;
}

/* ---- processes ---- */

static int start_epmd(struct fixture_rabbitmq *m)
{
    char port[8];
    const char *const argv[] = {"/usr/bin/epmd", "-port",  port,     "-address",
                                "127.0.0.1",     "-debug", "-debug", NULL};

    snprintf(port, sizeof(port), "%u", m->epmd_port);
    if (fixture_process_start(&(struct fixture_process_options){.argv = argv, .user = RUN_AS},
                              &m->epmd) < 0)
        return -EIO;
    return fixture_process_wait_for(m->epmd, "entering the main select() loop", READY_MS) ? 0
                                                                                          : -EIO;
}

int fixture_rabbitmq_restart(struct fixture_rabbitmq *m)
{
    static const char *const ARGV[] = {"/usr/bin/erl",
                                       "-noinput",
                                       "-s",
                                       "rabbit",
                                       "boot",
                                       "-boot",
                                       "start_sasl",
                                       "+W",
                                       "w",
                                       "+MBas",
                                       "ageffcbf",
                                       "+MHas",
                                       "ageffcbf",
                                       "+MBlmbcs",
                                       "512",
                                       "+MHlmbcs",
                                       "512",
                                       "+MMmcs",
                                       "30",
                                       "+P",
                                       "65536",
                                       "+t",
                                       "1048576",
                                       "+zdbbl",
                                       "32000",
                                       "+sbwt",
                                       "none",
                                       "+sbwtdcpu",
                                       "none",
                                       "+sbwtdio",
                                       "none",
                                       "+S",
                                       "1:1",
                                       "+SDio",
                                       "1",
                                       "+SDcpu",
                                       "1:1",
                                       "+A",
                                       "1",
                                       "-kernel",
                                       "inet_dist_use_interface",
                                       "{127,0,0,1}",
                                       "-syslog",
                                       "logger",
                                       "[]",
                                       "-syslog",
                                       "syslog_error_logger",
                                       "false",
                                       "-kernel",
                                       "prevent_overlapping_partitions",
                                       "false",
                                       NULL};
    enum { VARIABLES = 18 };
    char text[VARIABLES][160];
    const char *environment[VARIABLES + 1] = {NULL};
    const char *f = m->folder;
    size_t n = 0;
    int r;

#define VARIABLE(...)                                                                              \
    (snprintf(text[n], sizeof(text[n]), __VA_ARGS__), environment[n] = text[n], n++)
    VARIABLE("HOME=%s", f);
    VARIABLE("ERL_LIBS=%s/plugins", f);
    VARIABLE("RABBITMQ_PLUGINS_DIR=%s/plugins", f);
    VARIABLE("RABBITMQ_HOME=" PACKAGE);
    VARIABLE("RABBITMQ_NODENAME=test%u@localhost", m->port);
    VARIABLE("RABBITMQ_MNESIA_BASE=%s/mnesia", f);
    VARIABLE("RABBITMQ_LOG_BASE=%s/log", f);
    VARIABLE("RABBITMQ_LOGS=-");
    VARIABLE("RABBITMQ_CONFIG_FILE=%s/rabbitmq.conf", f);
    VARIABLE("RABBITMQ_ADVANCED_CONFIG_FILE=%s/advanced.config", f);
    VARIABLE("RABBITMQ_ENABLED_PLUGINS_FILE=%s/enabled_plugins", f);
    VARIABLE("RABBITMQ_CONF_ENV_FILE=/dev/null");
    VARIABLE("RABBITMQ_GENERATED_CONFIG_DIR=%s/generated", f);
    VARIABLE("RABBITMQ_PID_FILE=%s/pid", f);
    VARIABLE("RABBITMQ_DIST_PORT=%u", m->distribution_port);
    VARIABLE("ERL_EPMD_ADDRESS=127.0.0.1");
    VARIABLE("ERL_EPMD_PORT=%u", m->epmd_port);
    VARIABLE("ERL_CRASH_DUMP=/dev/null");
#undef VARIABLE
    m->node = fixture_process_free(m->node);
    r = fixture_process_start(
        &(struct fixture_process_options){
            .argv = ARGV, .environment = environment, .user = RUN_AS, .folder = f},
        &m->node);
    if (r < 0)
        return r;
    return fixture_process_wait_for(m->node, "Server startup complete", READY_MS) ? 0 : -EIO;
}

void fixture_rabbitmq_signal(struct fixture_rabbitmq *m, int number)
{
    fixture_process_signal(m->node, number);
}

void fixture_rabbitmq_kill(struct fixture_rabbitmq *m)
{
    fixture_process_signal(m->node, SIGKILL);
    (void)fixture_process_wait(m->node, READY_MS);
}

int fixture_rabbitmq_start(struct fixture_rabbitmq **ret_rabbitmq)
{
    OBS_CLEANUP(fixture_rabbitmq_freep) struct fixture_rabbitmq *m = NULL;
    int r;

    if (access(PACKAGE, F_OK) < 0 || access("/usr/bin/erl", X_OK) < 0)
        return -ENOENT;
    m = calloc(1, sizeof(*m));
    if (!m)
        return -ENOMEM;
    m->port = pick_port();
    m->epmd_port = pick_port();
    m->distribution_port = pick_port();
    snprintf(m->address, sizeof(m->address), "tcp:127.0.0.1:%u", m->port);
    r = prepare_folder(m);
    if (r == 0)
        r = start_epmd(m);
    if (r == 0)
        r = fixture_rabbitmq_restart(m);
    if (r < 0)
        return r;
    *ret_rabbitmq = OBS_TAKE(m);
    return 0;
}

struct fixture_rabbitmq *fixture_rabbitmq_free(struct fixture_rabbitmq *m)
{
    if (!m)
        return NULL;
    if (m->node)
        fixture_rabbitmq_kill(m); /* a clean stop takes six seconds, and nothing is kept */
    m->node = fixture_process_free(m->node);
    if (m->epmd)
        fixture_process_signal(m->epmd, SIGKILL);
    m->epmd = fixture_process_free(m->epmd);
    if (m->folder[0] != '\0')
        fixture_folder_remove(m->folder);
    free(m);
    return NULL;
}

uint16_t fixture_rabbitmq_port(const struct fixture_rabbitmq *m)
{
    return m->port;
}

const char *fixture_rabbitmq_address(const struct fixture_rabbitmq *m)
{
    return m->address;
}

const char *fixture_rabbitmq_password(const struct fixture_rabbitmq *m)
{
    return PASSWORD;
}

const char *fixture_rabbitmq_password_file(const struct fixture_rabbitmq *m)
{
    return m->password_file;
}

/* ---- a look inside, over a connection of its own each time ---- */

static amqp_connection_state_t look_open(struct fixture_rabbitmq *m)
{
    amqp_connection_state_t c = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(c);

    if (socket && amqp_socket_open(socket, "127.0.0.1", m->port) == AMQP_STATUS_OK &&
        amqp_login(c, FIXTURE_RABBITMQ_NAME, 0, 131072, 0, AMQP_SASL_METHOD_PLAIN,
                   FIXTURE_RABBITMQ_NAME, PASSWORD)
                .reply_type == AMQP_RESPONSE_NORMAL &&
        amqp_channel_open(c, 1))
        return c;
    amqp_destroy_connection(c);
    return NULL;
}

static void look_close(amqp_connection_state_t c)
{
    amqp_connection_close(c, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(c);
}

int fixture_rabbitmq_depth(struct fixture_rabbitmq *m, const char *queue, unsigned *ret_consumers)
{
    amqp_connection_state_t c = look_open(m);
    const amqp_queue_declare_ok_t *ok;
    int depth = -EIO;

    if (!c)
        return -EIO;
    ok = amqp_queue_declare(c, 1, amqp_cstring_bytes(queue), 1, 0, 0, 0, amqp_empty_table);
    if (ok) {
        depth = (int)ok->message_count;
        if (ret_consumers)
            *ret_consumers = ok->consumer_count;
    }
    look_close(c);
    return depth;
}

int fixture_rabbitmq_publish(struct fixture_rabbitmq *m, const char *exchange,
                             const char *routing_key, const void *body, size_t size)
{
    amqp_connection_state_t c = look_open(m);
    amqp_basic_properties_t properties = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG,
                                          .delivery_mode = AMQP_DELIVERY_PERSISTENT};
    amqp_bytes_t bytes = {.len = size, .bytes = (void *)(uintptr_t)body};
    int r;

    if (!c)
        return -EIO;
    r = amqp_basic_publish(c, 1, amqp_cstring_bytes(exchange), amqp_cstring_bytes(routing_key), 0,
                           0, &properties, bytes);
    look_close(c);
    return r == AMQP_STATUS_OK ? 0 : -EIO;
}

static void copy_bytes(char *out, size_t capacity, amqp_bytes_t bytes)
{
    snprintf(out, capacity, "%.*s", (int)bytes.len, (const char *)bytes.bytes);
}

static int take_message(amqp_connection_state_t c, const char *queue, const char *header_name,
                        char *ret_body, size_t body_capacity, char *ret_header,
                        size_t header_capacity)
{
    amqp_rpc_reply_t reply = amqp_basic_get(c, 1, amqp_cstring_bytes(queue), 1);
    amqp_message_t message;

    if (reply.reply_type != AMQP_RESPONSE_NORMAL)
        return -EIO;
    if (reply.reply.id != AMQP_BASIC_GET_OK_METHOD)
        return 0;
    if (amqp_read_message(c, 1, &message, 0).reply_type != AMQP_RESPONSE_NORMAL)
        return -EIO;
    copy_bytes(ret_body, body_capacity, message.body);
    ret_header[0] = '\0';
    for (int i = 0; i < message.properties.headers.num_entries; i++) {
        const amqp_table_entry_t *entry = &message.properties.headers.entries[i];
        if (entry->key.len == strlen(header_name) &&
            memcmp(entry->key.bytes, header_name, entry->key.len) == 0)
            copy_bytes(ret_header, header_capacity, entry->value.value.bytes);
    }
    amqp_destroy_message(&message);
    return 1;
}

int fixture_rabbitmq_take(struct fixture_rabbitmq *m, const char *queue, const char *header_name,
                          char *ret_body, size_t body_capacity, char *ret_header,
                          size_t header_capacity)
{
    amqp_connection_state_t c = look_open(m);
    int r;

    if (!c)
        return -EIO;
    r = take_message(c, queue, header_name, ret_body, body_capacity, ret_header, header_capacity);
    look_close(c);
    return r;
}

int fixture_rabbitmq_delete_queue(struct fixture_rabbitmq *m, const char *queue)
{
    amqp_connection_state_t c = look_open(m);
    bool is_deleted;

    if (!c)
        return -EIO;
    is_deleted = amqp_queue_delete(c, 1, amqp_cstring_bytes(queue), 0, 0) != NULL;
    look_close(c);
    return is_deleted ? 0 : -EIO;
}
