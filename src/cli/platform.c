/* Platform: see platform.h. */
#include "cli/platform.h"

#include "base/cleanup.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define LOG_BYTES_MAX (8 * 1024 * 1024) /* a longer one is set aside as agent.log.1 */
#define ARGS_ROOM 24
#define ENVIRONMENT_ROOM 12

int platform_lock(const struct paths *paths, struct obs_reason *reterr_reason)
{
    char path[PATHS_ROOM];
    int fd = open(paths_format(path, "%s/platform/lock", paths->state),
                  O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int r;

    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
        fprintf(stderr, "observa: waiting for another up or down of this installation\n");
        (void)flock(fd, LOCK_EX);
    }
    if (fd >= 0)
        return fd;
    r = -errno;
    obs_reason_set(reterr_reason, "%s: %s", path, strerror(-r));
    return r;
}

static int open_log(const struct paths *paths)
{
    char path[PATHS_ROOM], old[PATHS_ROOM];
    struct stat status;

    paths_format(path, "%s/platform/log/agent.log", paths->state);
    if (stat(path, &status) == 0 && status.st_size > LOG_BYTES_MAX)
        (void)rename(path, paths_format(old, "%s/platform/log/agent.log.1", paths->state));
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

struct start {
    char texts[ARGS_ROOM][PATHS_ROOM + 32];
    char *argv[ARGS_ROOM];
    int argc;
    char *environment[ENVIRONMENT_ROOM];
    int environment_count;
    char home[PATHS_ROOM + 32];
    char telemetry[3][PATHS_ROOM + 64];
};

__attribute__((format(printf, 2, 3))) static void add(struct start *s, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(s->texts[s->argc], sizeof(s->texts[0]), format, args);
    va_end(args);
    s->argv[s->argc] = s->texts[s->argc];
    s->argc++;
}

static void add_arguments(struct start *s, const struct paths *paths)
{
    add(s, "%s/bin/observa-agent", paths->dist);
    add(s, "--tenant=" PATHS_PLATFORM);
    add(s, "--units=%s/share/observa/units/platform.yaml", paths->dist);
    add(s, "--run=%s/platform", paths->run);
    add(s, "--state=%s/platform", paths->state);
    add(s, "--dist=%s", paths->dist);
    add(s, "--listen=unix:%s/platform/agent.sock", paths->run);
    add(s, "--admin=unix:%s/platform/agent-admin.sock", paths->run);
    add(s, "--public-key=%s/platform/keys/agent.pub", paths->state);
    add(s, "--variables=%s/platform/variables.json", paths->state);
}

/* Spans, profiles and logs go to the installation's own store, unless `up` was told otherwise. */
static void add_telemetry(struct start *s, const struct paths *paths)
{
    static const char *const NAMES[] = {"OTEL_EXPORTER_OTLP_ENDPOINT", "OBSERVA_PROFILES_ENDPOINT",
                                        "OBSERVA_LOGS_ENDPOINT"};

    for (size_t i = 0; i < OBS_COUNT(NAMES); i++) {
        if (getenv(NAMES[i]))
            continue;
        (void)snprintf(s->telemetry[i], sizeof(s->telemetry[i]),
                       "%s=unix:%s/platform/telemetry.sock", NAMES[i], paths->run);
        s->environment[s->environment_count++] = s->telemetry[i];
    }
}

/* The same for everybody, whatever the shell that typed `up` had set. */
static void add_environment(struct start *s, const struct paths *paths)
{
    static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin", language[] = "LANG=C.UTF-8";
    static const char *const KEPT[] = {"TZ", "OTEL_EXPORTER_OTLP_ENDPOINT",
                                       "OTEL_RESOURCE_ATTRIBUTES", "OBSERVA_PROFILES_ENDPOINT",
                                       "OBSERVA_LOGS_ENDPOINT"};
    extern char **environ;

    (void)snprintf(s->home, sizeof(s->home), "HOME=%s/platform", paths->state);
    s->environment[s->environment_count++] = path;
    s->environment[s->environment_count++] = language;
    s->environment[s->environment_count++] = s->home;
    add_telemetry(s, paths);
    for (char **entry = environ; *entry; entry++) {
        for (size_t i = 0; i < OBS_COUNT(KEPT); i++) {
            size_t size = strlen(KEPT[i]);

            if (strncmp(*entry, KEPT[i], size) == 0 && (*entry)[size] == '=' &&
                s->environment_count + 1 < ENVIRONMENT_ROOM)
                s->environment[s->environment_count++] = *entry;
        }
    }
}

static _Noreturn void become_agent(const struct paths *paths, struct start *s, int log)
{
    sigset_t none;

    (void)setsid();
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    if (chdir(paths->state) < 0 || chdir("platform") < 0 || dup2(log, STDOUT_FILENO) < 0 ||
        dup2(log, STDERR_FILENO) < 0 || dup2(open("/dev/null", O_RDONLY), STDIN_FILENO) < 0)
        _exit(126);
    (void)close_range(3, ~0U, 0);
    execve(s->argv[0], s->argv, s->environment);
    fprintf(stderr, "%s: %s\n", s->argv[0], strerror(errno));
    _exit(127);
}

int platform_start(const struct paths *paths, pid_t *ret_pid, struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(obs_freep) struct start *s = calloc(1, sizeof(*s));
    OBS_CLEANUP(obs_closep) int log = open_log(paths);
    int r = 0;

    if (!s)
        return -ENOMEM;
    if (log < 0) {
        r = -errno;
        obs_reason_set(reterr_reason, "%s/platform/log/agent.log: %s", paths->state, strerror(-r));
        return r;
    }
    add_arguments(s, paths);
    add_environment(s, paths);
    fflush(NULL);
    *ret_pid = fork();
    if (*ret_pid == 0)
        become_agent(paths, s, log);
    if (*ret_pid < 0) {
        r = -errno;
        obs_reason_set(reterr_reason, "starting the agent: %s", strerror(-r));
    }
    return r;
}

char *platform_last_output(const struct paths *paths, size_t size_max)
{
    char path[PATHS_ROOM];
    OBS_CLEANUP(obs_closep)
    int fd =
        open(paths_format(path, "%s/platform/log/agent.log", paths->state), O_RDONLY | O_CLOEXEC);
    char *text = calloc(1, size_max + 1);
    off_t end = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;

    if (text && end > 0)
        (void)!pread(fd, text, size_max, end > (off_t)size_max ? end - (off_t)size_max : 0);
    return text;
}
