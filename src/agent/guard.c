#include "agent/guard.h"

#include "agent/proc.h"
#include "base/clock.h"
#include "base/log.h"
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILDREN_MAX 1024

/* Reap what has ended. Return: false when there is no child any more. */
static bool reap(pid_t agent, int *agent_status, bool *is_agent_gone)
{
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);

        if (pid < 0 && errno == EINTR)
            continue;
        if (pid <= 0)
            return pid == 0;
        if (pid == agent) {
            *agent_status = status;
            *is_agent_gone = true;
        }
    }
}

static void kill_children(void)
{
    pid_t children[CHILDREN_MAX];
    size_t count = proc_children(getpid(), children, CHILDREN_MAX);

    for (size_t i = 0; i < count; i++)
        kill(children[i], SIGKILL);
}

static void end_leftovers(pid_t agent, int *agent_status, const sigset_t *signals)
{
    uint64_t deadline = obs_mono_ns() + GUARD_GRACE_MS * OBS_NS_PER_MS;
    bool is_agent_gone = true;

    while (reap(agent, agent_status, &is_agent_gone)) {
        struct timespec moment = {0, 20000000};

        if (obs_mono_ns() >= deadline)
            kill_children();
        sigtimedwait(signals, NULL, &moment);
    }
}

static _Noreturn void watch(pid_t agent, const sigset_t *signals)
{
    bool is_agent_gone = false;
    int status = 0;

    prctl(PR_SET_NAME, "observa-guard");
    while (!is_agent_gone) {
        int number = sigwaitinfo(signals, NULL);

        if (number == SIGCHLD)
            reap(agent, &status, &is_agent_gone);
        else if (number > 0)
            kill(agent, number);
    }
    if (WIFSIGNALED(status))
        obs_log(OBS_LOG_ERROR, "the agent was killed; ending what it ran",
                OBS_INT("signal", WTERMSIG(status)));
    end_leftovers(agent, &status, signals);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

int guard_enter(void)
{
    static const int FORWARDED[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGCHLD};
    pid_t guard = getpid(), agent;
    sigset_t signals, before;

    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return -errno;
    sigemptyset(&signals);
    for (size_t i = 0; i < sizeof(FORWARDED) / sizeof(FORWARDED[0]); i++)
        sigaddset(&signals, FORWARDED[i]);
    sigprocmask(SIG_BLOCK, &signals, &before);
    agent = fork();
    if (agent < 0)
        return -errno;
    if (agent > 0)
        watch(agent, &signals);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != guard)
        _exit(EXIT_FAILURE);
    setpgid(0, 0); /* a signal from the terminal comes once: through the guard */
    sigprocmask(SIG_SETMASK, &before, NULL);
    return 0;
}
