/* Tenant: see tenant.h. */
#include "cli/tenant.h"

#include "base/file.h"
#include "cli/keys.h"
#include "cli/ports.h"
#include <errno.h>
#include <string.h>

const char *const TENANT_DATABASES[2] = {"catalog", "orders"};

/* Processes of ours, scraped through the observability gateway. */
static const char *const UNITS[] = {"storefront", "catalog", "orders", "fulfilment",
                                    "gateway",    "load",    "agent"};

_Bool tenant_is_name(const char *name)
{
    size_t size = strlen(name);

    return size >= 1 && size <= 32 && name[0] >= 'a' && name[0] <= 'z' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == size &&
           strcmp(name, PATHS_PLATFORM) != 0;
}

int tenant_write_json(const char *path, const json_t *json, struct obs_reason *reterr_reason)
{
    struct obs_buffer text = OBS_BUFFER_INIT(1048576), before = OBS_BUFFER_INIT(1048576);
    int r = json ? obs_json_emit(json, &text) : -ENOMEM;

    if (r == 0 && !(obs_file_read(path, &before) == 0 && before.size == text.size &&
                    memcmp(before.data, text.data, text.size) == 0))
        r = obs_file_write_atomic(path, text.data, text.size, 0600, reterr_reason);
    obs_buffer_done(&text);
    obs_buffer_done(&before);
    return r;
}

static int make_secrets(const struct paths *paths, const char *tenant,
                        struct obs_reason *reterr_reason)
{
    static const char *const NAMES[] = {"catalog", "orders", "amqp"};
    struct obs_buffer pgpass = OBS_BUFFER_INIT(4096);
    char path[PATHS_ROOM];
    int r = 0;

    for (size_t i = 0; i < OBS_COUNT(NAMES) && r == 0; i++) {
        paths_format(path, "%s/tenants/%s/secrets/%s", paths->state, tenant, NAMES[i]);
        r = keys_make_secret(path, reterr_reason);
    }
    for (size_t i = 0; i < OBS_COUNT(TENANT_DATABASES) && r == 0; i++) {
        OBS_CLEANUP(obs_freep) char *password = NULL;

        paths_format(path, "%s/tenants/%s/secrets/%s", paths->state, tenant, TENANT_DATABASES[i]);
        r = keys_read_secret(path, &password, reterr_reason);
        if (r == 0)
            r = obs_buffer_printf(&pgpass, "*:*:%s_%s:%s_%s:%s\n", tenant, TENANT_DATABASES[i],
                                  tenant, TENANT_DATABASES[i], password);
    }
    paths_format(path, "%s/tenants/%s/secrets/pgpass", paths->state, tenant);
    if (r == 0)
        r = obs_file_write_atomic(path, pgpass.data, pgpass.size, 0600, reterr_reason);
    obs_buffer_done(&pgpass);
    return r;
}

static int write_variables(const struct paths *paths, const char *tenant, const json_t *ports,
                           struct obs_reason *reterr_reason)
{
    char path[PATHS_ROOM], database[3 * PATHS_ROOM];
    OBS_JSON variables = NULL;

    (void)snprintf(
        database, sizeof(database),
        "host=%s/platform port=5432 connect_timeout=5 passfile=%s/tenants/%s/secrets/pgpass",
        paths->run, paths->state, tenant);
    variables = json_pack("{s:O, s:{s:s, s:s}, s:s}", "port", ports, "root", "state", paths->state,
                          "run", paths->run, "database", database);
    paths_format(path, "%s/tenants/%s/variables.json", paths->state, tenant);
    return tenant_write_json(path, variables, reterr_reason);
}

static int add_target(json_t *targets, const json_t *ports, const char *port, json_t *labels)
{
    char address[32];

    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", ports_get(ports, port));
    return json_array_append_new(
               targets, json_pack("{s:[s], s:o}", "targets", address, "labels", labels)) < 0
               ? -ENOMEM
               : 0;
}

static int write_targets(const struct paths *paths, const char *tenant, const json_t *ports,
                         struct obs_reason *reterr_reason)
{
    OBS_JSON targets = json_array();
    char path[PATHS_ROOM], job[80], redis[PATHS_ROOM];
    int r = targets ? 0 : -ENOMEM;

    for (size_t i = 0; i < OBS_COUNT(UNITS) && r == 0; i++) {
        (void)snprintf(job, sizeof(job), "sut-%s", UNITS[i]);
        paths_format(path, "/metrics/%s/%s", tenant, UNITS[i]);
        r = add_target(targets, ports, "observability",
                       json_pack("{s:s, s:s, s:s, s:s}", "job", job, "tenant", tenant, "instance",
                                 UNITS[i], "__metrics_path__", path));
    }
    paths_format(redis, "unix://%s/tenants/%s/redis.sock", paths->run, tenant);
    if (r == 0)
        r = add_target(targets, ports, "redis-exporter",
                       json_pack("{s:s, s:s, s:s, s:s}", "job", "sut-redis", "tenant", tenant,
                                 "instance", "redis", "__param_target", redis));
    if (r == 0)
        r = add_target(targets, ports, "postgres-exporter",
                       json_pack("{s:s, s:s, s:s}", "job", "sut-postgres", "tenant", tenant,
                                 "instance", "postgres"));
    if (r == 0)
        r = add_target(targets, ports, "rabbitmq-metrics",
                       json_pack("{s:s, s:s, s:s, s:s}", "job", "sut-rabbitmq", "tenant", tenant,
                                 "instance", "rabbitmq", "__param_vhost", tenant));
    if (r == 0)
        r = add_target(targets, ports, "rabbitmq-metrics",
                       json_pack("{s:s, s:s, s:s}", "job", "rabbitmq-global", "tenant", tenant,
                                 "instance", "rabbitmq"));
    paths_format(path, "%s/platform/prometheus/targets/%s.json", paths->state, tenant);
    return r == 0 ? tenant_write_json(path, targets, reterr_reason) : r;
}

int tenant_prepare_platform_targets(const struct paths *paths, const json_t *ports,
                                    struct obs_reason *reterr_reason)
{
    OBS_JSON targets = json_array();
    char path[PATHS_ROOM];
    int r = add_target(targets, ports, "observability",
                       json_pack("{s:s, s:s, s:s}", "job", "platform-agent", "instance", "agent",
                                 "__metrics_path__", "/metrics/platform"));

    paths_format(path, "%s/platform/prometheus/targets/platform.json", paths->state);
    return r == 0 ? tenant_write_json(path, targets, reterr_reason) : r;
}

int tenant_prepare(const struct paths *paths, const char *tenant, const json_t *ports,
                   struct obs_reason *reterr_reason)
{
    static const char *const FOLDERS[] = {"", "/state", "/conf", "/log", "/redis", "/secrets"};
    char path[PATHS_ROOM];
    int r = 0;

    for (size_t i = 0; i < OBS_COUNT(FOLDERS) && r == 0; i++)
        r = obs_file_mkdirs(paths_format(path, "%s/tenants/%s%s", paths->state, tenant, FOLDERS[i]),
                            0700);
    if (r == 0)
        r = obs_file_mkdirs(paths_format(path, "%s/tenants/%s", paths->run, tenant), 0700);
    if (r < 0) {
        obs_reason_set(reterr_reason, "%s: %s", path, strerror(-r));
        return r;
    }
    r = make_secrets(paths, tenant, reterr_reason);
    if (r == 0)
        r = write_variables(paths, tenant, ports, reterr_reason);
    return r == 0 ? write_targets(paths, tenant, ports, reterr_reason) : r;
}
