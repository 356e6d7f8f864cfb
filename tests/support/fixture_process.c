#include "support/fixture_process.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

enum { OUTPUT_MAX = 16 << 20, STOP_MS = 10000 };

struct fixture_process {
    pid_t pid;
    int pidfd, output_fd;
    bool is_reaped;
    int status;
    pthread_t reader;
    bool has_reader;
    pthread_mutex_t lock;
    pthread_cond_t grown;
    char *output;
    size_t size, capacity;
    bool is_ended; /* the pipe is closed */
};

/* ---- child ---- */

static int become(const char *user)
{
    struct passwd *entry;

    if (!user || geteuid() != 0)
        return 0;
    entry = getpwnam(user);
    if (!entry || setgroups(0, NULL) < 0 || setgid(entry->pw_gid) < 0 || setuid(entry->pw_uid) < 0)
        return -EPERM;
    return 0;
}

static void run_child(const struct fixture_process_options *options, int output, pid_t parent)
{
    sigset_t none;

    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setpgid(0, 0);
    (void)dup2(output, STDOUT_FILENO);
    (void)dup2(output, STDERR_FILENO);
    for (const char *const *e = options->environment; e && *e; e++)
        (void)putenv((char *)*e);
    if (options->folder && chdir(options->folder) < 0)
        _exit(126);
    if (become(options->user) < 0)
        _exit(126);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* after setuid, which clears it */
    if (getppid() != parent)
        _exit(126);
    execv(options->argv[0], (char *const *)options->argv);
    fprintf(stderr, "cannot execute %s: %s\n", options->argv[0], strerror(errno));
    _exit(127);
}

/* ---- output ---- */

static void take_output(struct fixture_process *p, const char *data, size_t size)
{
    pthread_mutex_lock(&p->lock);
    if (p->size + size + 1 > p->capacity && p->capacity < OUTPUT_MAX) {
        size_t capacity = (p->size + size + 1) * 2;
        char *grown = realloc(p->output, capacity);

        if (grown) {
            p->output = grown;
            p->capacity = capacity;
        }
    }
    if (p->size + size + 1 <= p->capacity) {
        memcpy(p->output + p->size, data, size);
        p->size += size;
        p->output[p->size] = '\0';
    }
    pthread_cond_broadcast(&p->grown);
    pthread_mutex_unlock(&p->lock);
}

static void *read_output(void *userdata)
{
    struct fixture_process *p = userdata;
    char data[8192];
    ssize_t n;

    while ((n = read(p->output_fd, data, sizeof(data))) > 0 || (n < 0 && errno == EINTR))
        if (n > 0)
            take_output(p, data, (size_t)n);
    pthread_mutex_lock(&p->lock);
    p->is_ended = true;
    pthread_cond_broadcast(&p->grown);
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

bool fixture_process_wait_for(struct fixture_process *p, const char *text, unsigned timeout_ms)
{
    struct timespec until;
    bool is_found;
    int r = 0;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&p->lock);
    while (!(is_found = p->output && strstr(p->output, text)) && !p->is_ended && r == 0)
        r = pthread_cond_timedwait(&p->grown, &p->lock, &until);
    if (!is_found)
        fprintf(stderr, "# \"%s\" did not appear in the output of process %d:\n%s\n", text,
                (int)p->pid, p->output ? p->output : "(nothing)");
    pthread_mutex_unlock(&p->lock);
    return is_found;
}

unsigned fixture_process_count(struct fixture_process *p, const char *text)
{
    unsigned count = 0;

    pthread_mutex_lock(&p->lock);
    for (const char *at = p->output; at && (at = strstr(at, text)); at += strlen(text))
        count++;
    pthread_mutex_unlock(&p->lock);
    return count;
}

char *fixture_process_output(struct fixture_process *p)
{
    char *copy;

    pthread_mutex_lock(&p->lock);
    copy = strdup(p->output ? p->output : "");
    pthread_mutex_unlock(&p->lock);
    return copy;
}

/* ---- life ---- */

static struct fixture_process *process_alloc(void)
{
    struct fixture_process *p = calloc(1, sizeof(*p));
    pthread_condattr_t attributes;

    if (!p)
        return NULL;
    p->pidfd = p->output_fd = -1;
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&p->grown, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    return p;
}

int fixture_process_start(const struct fixture_process_options *options,
                          struct fixture_process **ret_process)
{
    OBS_CLEANUP(fixture_process_freep) struct fixture_process *p = process_alloc();
    pid_t parent = getpid();
    int ends[2];

    if (!p)
        return -ENOMEM;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    p->output_fd = ends[0];
    p->pid = fork();
    if (p->pid == 0)
        run_child(options, ends[1], parent);
    close(ends[1]);
    if (p->pid < 0)
        return -errno;
    p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
    if (p->pidfd < 0)
        return -errno;
    if (pthread_create(&p->reader, NULL, read_output, p) != 0)
        return -EAGAIN;
    p->has_reader = true;
    *ret_process = OBS_TAKE(p);
    return 0;
}

pid_t fixture_process_pid(const struct fixture_process *p)
{
    return p->pid;
}

void fixture_process_signal(struct fixture_process *p, int number)
{
    if (!p->is_reaped)
        (void)kill(p->pid, number);
}

int fixture_process_wait(struct fixture_process *p, unsigned timeout_ms)
{
    struct pollfd fd = {.fd = p->pidfd, .events = POLLIN};

    if (!p->is_reaped) {
        if (poll(&fd, 1, (int)timeout_ms) <= 0 || waitpid(p->pid, &p->status, 0) < 0)
            return -ETIMEDOUT;
        p->is_reaped = true;
    }
    return WIFEXITED(p->status) ? WEXITSTATUS(p->status) : 128 + WTERMSIG(p->status);
}

struct fixture_process *fixture_process_free(struct fixture_process *p)
{
    if (!p)
        return NULL;
    if (p->pid > 0 && !p->is_reaped) {
        fixture_process_signal(p, SIGTERM);
        if (fixture_process_wait(p, STOP_MS) == -ETIMEDOUT) {
            (void)kill(-p->pid, SIGKILL);
            fixture_process_signal(p, SIGKILL);
            (void)fixture_process_wait(p, STOP_MS);
        }
    }
    if (p->pid > 0)
        (void)kill(-p->pid, SIGKILL); /* what it left behind in its group */
    if (p->has_reader)
        (void)pthread_join(p->reader, NULL);
    obs_closep(&p->output_fd);
    obs_closep(&p->pidfd);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->grown);
    free(p->output);
    free(p);
    return NULL;
}

int fixture_process_run(const struct fixture_process_options *options, unsigned timeout_ms,
                        char **ret_output)
{
    OBS_CLEANUP(fixture_process_freep) struct fixture_process *p = NULL;
    int r = fixture_process_start(options, &p);

    if (r < 0)
        return r;
    r = fixture_process_wait(p, timeout_ms);
    if (r != -ETIMEDOUT) { /* all output is in once the pipe is closed */
        (void)pthread_join(p->reader, NULL);
        p->has_reader = false;
    }
    if (ret_output)
        *ret_output = fixture_process_output(p);
    else if (r != 0)
        fprintf(stderr, "# %s ended with %d:\n%s\n", options->argv[0], r,
                p->output ? p->output : "");
    return r;
}

/* ---- folders ---- */

int fixture_folder_new(const char *user, char ret_path[64])
{
    struct passwd *entry = user && geteuid() == 0 ? getpwnam(user) : NULL;

    (void)snprintf(ret_path, 64, "/tmp/obs-XXXXXX");
    if (!mkdtemp(ret_path))
        return -errno;
    if (entry && chown(ret_path, entry->pw_uid, entry->pw_gid) < 0)
        return -errno;
    return 0;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)remove(path);
    return 0;
}

void fixture_folder_remove(const char *path)
{
    if (strncmp(path, "/tmp/obs-", 9) == 0)
        (void)nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}
