/* Paths: see paths.h. */
#include "cli/paths.h"

#include "base/buffer.h"
#include "base/file.h"
#include "base/text.h"
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <openssl/sha.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *paths_format(char *out, const char *format, ...)
{
    va_list args;
    int size;

    va_start(args, format);
    size = vsnprintf(out, PATHS_ROOM, format, args);
    va_end(args);
    assert(size >= 0 && size < PATHS_ROOM);
    return out;
}

void paths_hash(const char *text, char out[9])
{
    uint8_t digest[SHA256_DIGEST_LENGTH];

    SHA256((const unsigned char *)text, strlen(text), digest);
    obs_text_hex(digest, 4, out);
}

/* Cut @path after its parent folder; false at the root. */
static bool go_up(char *path)
{
    char *slash = strrchr(path, '/');

    if (!slash || slash == path)
        return false;
    *slash = '\0';
    return true;
}

/* STATE_DIR of a program in STATE_DIR/dist/bin. */
static bool state_of_dist(const char *program, char *ret_state)
{
    char path[PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s", program);
    if (!go_up(path) || !strstr(path, "/dist/bin") || strcmp(strrchr(path, '/'), "/bin") != 0 ||
        !go_up(path) || !go_up(path) || strlen(path) >= PATHS_ROOM / 2)
        return false;
    strcpy(ret_state, path);
    return true;
}

static bool checkout_of(const char *program, char *ret_checkout)
{
    char probe[PATH_MAX + 32];

    (void)snprintf(ret_checkout, PATH_MAX, "%s", program);
    while (go_up(ret_checkout)) {
        (void)snprintf(probe, sizeof(probe), "%s/stack/units/shop.yaml", ret_checkout);
        if (access(probe, F_OK) == 0)
            return true;
    }
    return false;
}

static const char *home_of_user(void)
{
    const char *home = getenv("HOME");
    const struct passwd *user = NULL;

    if (home && home[0] == '/')
        return home;
    user = getpwuid(getuid());
    return user ? user->pw_dir : "/";
}

static int default_state(char *ret_state, struct obs_reason *reterr_reason)
{
    char program[PATH_MAX] = "", checkout[PATH_MAX], base[PATHS_ROOM / 2], hash[9];
    const char *xdg = getenv("XDG_STATE_HOME");
    ssize_t size = readlink("/proc/self/exe", program, sizeof(program) - 1);
    int used;

    program[size < 0 ? 0 : size] = '\0';
    if (state_of_dist(program, ret_state))
        return PATHS_OK;
    if (!checkout_of(program, checkout)) {
        obs_reason_set(reterr_reason, "no state directory: give --state-dir DIR or set STATE_DIR");
        return PATHS_REFUSED;
    }
    paths_hash(checkout, hash);
    if (geteuid() == 0)
        used = snprintf(base, sizeof(base), "/var/lib");
    else if (xdg && xdg[0] == '/')
        used = snprintf(base, sizeof(base), "%s", xdg);
    else
        used = snprintf(base, sizeof(base), "%s/.local/state", home_of_user());
    if (used < 0 || used >= (int)sizeof(base) - 40) {
        obs_reason_set(reterr_reason,
                       "the home directory's path is too long: give --state-dir DIR");
        return PATHS_REFUSED;
    }
    paths_format(ret_state, "%s/observastack/%s", base, hash);
    return PATHS_OK;
}

/* The folder noted by an earlier `up`. */
static bool noted_run(const struct paths *paths, char *ret_run)
{
    char path[PATHS_ROOM];
    struct obs_buffer b = OBS_BUFFER_INIT(PATHS_ROOM - 1);
    bool found;

    found = obs_file_read(paths_format(path, "%s/run-dir", paths->state), &b) == 0 && b.size > 1 &&
            b.data[0] == '/';
    if (found) {
        (void)snprintf(ret_run, PATHS_ROOM, "%s", b.data);
        ret_run[strcspn(ret_run, "\n")] = '\0';
    }
    obs_buffer_done(&b);
    return found;
}

static void default_run(const struct paths *paths, char *ret_run)
{
    const char *xdg = getenv("XDG_RUNTIME_DIR");

    if (geteuid() == 0)
        paths_format(ret_run, "/run/observastack/%s", paths->hash);
    else if (xdg && xdg[0] == '/' && strlen(xdg) < 64 && access(xdg, W_OK) == 0)
        paths_format(ret_run, "%s/observastack-%s", xdg, paths->hash);
    else
        paths_format(ret_run, "/tmp/observastack-%u-%s", (unsigned)getuid(), paths->hash);
}

/* A real path, though its last folders need not exist yet. */
static void make_real(char *path)
{
    char head[PATH_MAX], real[PATH_MAX], result[PATH_MAX * 2];

    (void)snprintf(head, sizeof(head), "%s", path);
    do {
        if (realpath(head, real)) {
            (void)snprintf(result, sizeof(result), "%s%s", strcmp(real, "/") == 0 ? "" : real,
                           path + strlen(head));
            if (strlen(result) < PATHS_ROOM / 2)
                strcpy(path, result);
            return;
        }
    } while (go_up(head));
}

int paths_find(const char *state_dir, struct paths *ret_paths, struct obs_reason *reterr_reason)
{
    size_t size;
    int r;

    if (state_dir && state_dir[0] != '\0') {
        if (strlen(state_dir) >= PATHS_ROOM / 2 || state_dir[0] != '/') {
            obs_reason_set(reterr_reason,
                           "state directory \"%s\": expected an absolute path of at most %d bytes",
                           state_dir, PATHS_ROOM / 2 - 1);
            return PATHS_REFUSED;
        }
        strcpy(ret_paths->state, state_dir);
    } else {
        r = default_state(ret_paths->state, reterr_reason);
        if (r != 0)
            return r;
    }
    size = strlen(ret_paths->state);
    while (size > 1 && ret_paths->state[size - 1] == '/')
        ret_paths->state[--size] = '\0';
    make_real(ret_paths->state);
    if (strpbrk(ret_paths->state, " \t\n\"'$;{}\\")) {
        obs_reason_set(reterr_reason,
                       "state directory \"%s\": white space, quotes and $ ; { } \\ cannot be in it",
                       ret_paths->state);
        return PATHS_REFUSED;
    }
    paths_hash(ret_paths->state, ret_paths->hash);
    paths_format(ret_paths->dist, "%s/dist", ret_paths->state);
    if (!noted_run(ret_paths, ret_paths->run))
        default_run(ret_paths, ret_paths->run);
    return PATHS_OK;
}
