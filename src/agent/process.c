#include "agent/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEARCH_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* ---- between fork and exec: async-signal-safe calls only (signal-safety(7)) ---- */

static void say(const char *text)
{
    ssize_t ignored = write(STDERR_FILENO, text, strlen(text));

    (void)ignored;
}

static void give_up(const char *what, const char *path)
{
    const char *cause = strerrordesc_np(errno);

    say("cannot ");
    say(what);
    say(" ");
    say(path);
    say(": ");
    say(cause ? cause : "unknown error");
    say("\n");
    _exit(errno == ENOENT ? 127 : 126);
}

static void reset_signals(void)
{
    struct sigaction standard = {.sa_handler = SIG_DFL};
    sigset_t none;

    for (int number = 1; number < NSIG; number++)
        sigaction(number, &standard, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void become(const struct process_plan *plan, const char *program, int null_fd, pid_t agent)
{
    setsid();
    reset_signals();
    if (plan->death_signal)
        prctl(PR_SET_PDEATHSIG, plan->death_signal);
    if (getppid() != agent) /* it died before the line above: nobody would tell us */
        _exit(126);
    if (dup2(null_fd, STDIN_FILENO) < 0 || dup2(plan->output_fd, STDOUT_FILENO) < 0 ||
        dup2(plan->output_fd, STDERR_FILENO) < 0)
        _exit(126);
    close_range(3, ~0U, 0);
    umask(077);
    if (chdir(plan->directory) < 0)
        give_up("enter folder", plan->directory);
    execve(program, plan->argv, plan->environment);
    give_up("run", program);
}

/* ---- before the fork ---- */

static int find_program(const char *name, char out[PATH_MAX], struct obs_reason *reterr_reason)
{
    const char *path = getenv("PATH");

    if (strchr(name, '/')) {
        /* One that begins elsewhere is found from the unit's own folder, after the fork. */
        if (snprintf(out, PATH_MAX, "%s", name) < PATH_MAX &&
            (name[0] != '/' || access(out, X_OK) == 0))
            return 0;
        obs_reason_set(reterr_reason, "cannot run %s: %s", name, strerror(errno));
        return PROCESS_REFUSED;
    }
    for (path = path && *path ? path : SEARCH_PATH; *path;) {
        size_t size = strcspn(path, ":");

        if (size > 0 && snprintf(out, PATH_MAX, "%.*s/%s", (int)size, path, name) < PATH_MAX &&
            access(out, X_OK) == 0)
            return 0;
        path += size + (path[size] == ':');
    }
    obs_reason_set(reterr_reason, "cannot run %s: not found in PATH", name);
    return PROCESS_REFUSED;
}

int process_spawn(const struct process_plan *plan, pid_t *ret_pid, struct obs_reason *reterr_reason)
{
    char program[PATH_MAX];
    pid_t agent = getpid(), pid;
    int null_fd;

    if (find_program(plan->argv[0], program, reterr_reason) != 0)
        return PROCESS_REFUSED;
    null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null_fd < 0) {
        obs_reason_set(reterr_reason, "cannot open /dev/null: %s", strerror(errno));
        return PROCESS_REFUSED;
    }
    pid = fork();
    if (pid == 0)
        become(plan, program, null_fd, agent);
    close(null_fd);
    if (pid < 0) {
        obs_reason_set(reterr_reason, "cannot start a process: %s", strerror(errno));
        return PROCESS_REFUSED;
    }
    *ret_pid = pid;
    return 0;
}
