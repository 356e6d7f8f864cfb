/* Prepare: see prepare.h. */
#include "cli/prepare.h"

#include "base/file.h"
#include "cli/keys.h"
#include "cli/ports.h"
#include "cli/privileges.h"
#include "cli/tenant.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* The longest socket: a tenant's name has at most 32 bytes, a unit's socket about as many. */
#define LONGEST_SOCKET "/tenants/" PATHS_TENANT "/fulfilment-admin.sock"

static int note_run_dir(const struct paths *paths, struct obs_reason *reterr_reason)
{
    struct obs_buffer before = OBS_BUFFER_INIT(PATHS_ROOM);
    char path[PATHS_ROOM], text[PATHS_ROOM + 1];
    int r = 0, size = snprintf(text, sizeof(text), "%s\n", paths->run);

    paths_format(path, "%s/run-dir", paths->state);
    if (obs_file_read(path, &before) < 0 || before.size != (size_t)size ||
        memcmp(before.data, text, before.size) != 0)
        r = obs_file_write_atomic(path, text, (size_t)size, 0644, reterr_reason);
    obs_buffer_done(&before);
    return r;
}

static int own(const char *root, const char *folder, struct obs_reason *reterr_reason)
{
    char path[PATHS_ROOM];

    return privileges_own_folder(paths_format(path, "%s%s", root, folder), reterr_reason);
}

int prepare_folders(const struct paths *paths, struct obs_reason *reterr_reason)
{
    mode_t mask = umask(geteuid() == 0 ? 022 : 077);
    char path[PATHS_ROOM];
    int r;

    if (strlen(paths->run) + strlen(LONGEST_SOCKET) > PATHS_SOCKET_MAX) {
        obs_reason_set(reterr_reason,
                       "%s is too long a path for sockets: at most %zu bytes; set XDG_RUNTIME_DIR "
                       "to a shorter one",
                       paths->run, PATHS_SOCKET_MAX - strlen(LONGEST_SOCKET));
        return PREPARE_REFUSED;
    }
    r = obs_file_mkdirs(paths->state, 0755);
    if (r < 0) {
        obs_reason_set(reterr_reason, "%s: %s", paths->state, strerror(-r));
        return r;
    }
    r = own(paths->state, "/platform", reterr_reason);
    if (r == 0)
        r = own(paths->state, "/tenants", reterr_reason);
    if (r == 0)
        r = own(paths->run, "", reterr_reason);
    if (r == 0)
        r = note_run_dir(paths, reterr_reason);
    if (r == 0)
        r = privileges_drop(reterr_reason);
    (void)umask(mask);
    if (r == 0 && access(paths_format(path, "%s/platform", paths->state), R_OK | W_OK | X_OK) < 0) {
        r = -errno;
        obs_reason_set(reterr_reason,
                       "%s: user " PRIVILEGES_USER " cannot reach it (%s): give a STATE_DIR whose "
                       "parent folders everybody may enter",
                       path, strerror(-r));
    }
    return r;
}

static int make_folders(const struct paths *paths, struct obs_reason *reterr_reason)
{
    static const char *const STATE[] = {"keys", "secrets", "log", "prometheus/targets"};
    char path[PATHS_ROOM];
    int r = 0;

    for (size_t i = 0; i < OBS_COUNT(STATE) && r == 0; i++)
        r = obs_file_mkdirs(paths_format(path, "%s/platform/%s", paths->state, STATE[i]), 0700);
    if (r == 0)
        r = obs_file_mkdirs(paths_format(path, "%s/platform", paths->run), 0700);
    if (r < 0)
        obs_reason_set(reterr_reason, "%s: %s", path, strerror(-r));
    return r;
}

static int make_secrets(const struct paths *paths, struct obs_reason *reterr_reason)
{
    static const char *const NAMES[] = {"postgres", "rabbitmq", "monitor"};
    OBS_CLEANUP(obs_freep) char *monitor = NULL;
    OBS_CLEANUP(obs_freep) char *postgres = NULL;
    char path[PATHS_ROOM], public_path[PATHS_ROOM], pgpass[512];
    int r, size;

    r = keys_make_pair(paths_format(path, "%s/platform/keys/agent.key", paths->state),
                       paths_format(public_path, "%s/platform/keys/agent.pub", paths->state),
                       reterr_reason);
    for (size_t i = 0; i < OBS_COUNT(NAMES) && r == 0; i++)
        r = keys_make_secret(paths_format(path, "%s/platform/secrets/%s", paths->state, NAMES[i]),
                             reterr_reason);
    if (r == 0)
        r = keys_read_secret(path, &monitor, reterr_reason);
    if (r == 0)
        r = keys_read_secret(paths_format(path, "%s/platform/secrets/postgres", paths->state),
                             &postgres, reterr_reason);
    if (r < 0)
        return r;
    size = snprintf(pgpass, sizeof(pgpass), "*:*:*:postgres:%s\n*:*:*:monitor:%s\n", postgres,
                    monitor);
    return obs_file_write_atomic(paths_format(path, "%s/platform/secrets/pgpass", paths->state),
                                 pgpass, (size_t)size, 0600, reterr_reason);
}

static int write_variables(const struct paths *paths, const json_t *ports,
                           struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(obs_freep) char *rabbitmq = NULL;
    OBS_JSON variables = NULL;
    char path[PATHS_ROOM], node[32];
    int r = keys_read_secret(paths_format(path, "%s/platform/secrets/rabbitmq", paths->state),
                             &rabbitmq, reterr_reason);

    if (r < 0)
        return r;
    (void)snprintf(node, sizeof(node), "obs-%s", paths->hash);
    variables = json_pack("{s:O, s:{s:s, s:s}, s:{s:s}, s:s, s:s}", "port", ports, "root", "state",
                          paths->state, "run", paths->run, "secret", "rabbitmq", rabbitmq, "node",
                          node, "site", paths->hash);
    paths_format(path, "%s/platform/variables.json", paths->state);
    return tenant_write_json(path, variables, reterr_reason);
}

int prepare_files(const struct paths *paths, int control, json_t **ret_ports,
                  struct obs_reason *reterr_reason)
{
    OBS_JSON ports = NULL;
    char path[PATHS_ROOM];
    uint32_t seed = (uint32_t)strtoul(paths->hash, NULL, 16);
    int r = make_folders(paths, reterr_reason);

    if (r == 0)
        r = ports_choose(paths_format(path, "%s/platform/ports.json", paths->state), seed, control,
                         &ports, reterr_reason);
    if (r == 0)
        r = make_secrets(paths, reterr_reason);
    if (r == 0)
        r = write_variables(paths, ports, reterr_reason);
    if (r == 0)
        r = tenant_prepare(paths, PATHS_TENANT, ports, reterr_reason);
    if (r == 0)
        r = tenant_prepare_platform_targets(paths, ports, reterr_reason);
    if (r == 0)
        *ret_ports = OBS_TAKE(ports);
    return r;
}

unsigned long long prepare_disk_free(const struct paths *paths)
{
    struct statvfs disk;

    if (statvfs(paths->state, &disk) < 0)
        return 0;
    return (unsigned long long)disk.f_bavail * disk.f_frsize;
}
