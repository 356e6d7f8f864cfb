/*
 * Two tables take turns: the signal handler fills one while the other is packed into a window. A
 * handler that finds the table in use (another thread's handler, or the turn itself) counts a
 * missed sample and leaves; it never waits.
 *
 * The timer counts CPU time of the whole process and the kernel interrupts a thread that is using
 * it, so an idle process is never woken. No thread may block SIGPROF.
 */
#include "otel/profiler.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "otel/endpoint.h"
#include "otel/profile.h"
#include <errno.h>
#include <execinfo.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <ucontext.h>

#define WINDOW_S 10
#define WINDOWS 6
#define WINDOWS_MAX 60
#define PUSH_TIMEOUT_MS 2000
#define PUSH_MAX (8u << 20)

struct profiler {
    pthread_mutex_t lock; /* windows, taken, and turns of the tables */
    pthread_cond_t wake;
    pthread_t thread;
    struct obs_stack_table *spare;
    struct obs_stack_window *windows[WINDOWS_MAX]; /* oldest first */
    size_t window_count;
    uint64_t window_ns, kept_ns; /* of one window; of all kept ones */
    struct obs_stack_table
        *taken; /* on-demand profile under way: windows are added to it as well */
    struct obs_http_client *client;
    char name[192]; /* service, encoded for a query */
    char prefix[128];
    char version[64], next_version[64]; /* of this window; of the next one */
    bool is_stopping;
    unsigned takers;
};

/* What the handler touches. */
static struct obs_stack_table *active; /* guarded by is_table_busy */
static atomic_flag is_table_busy = ATOMIC_FLAG_INIT;

static struct profiler *profiler; /* guarded by start_lock when it changes */
static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- in the signal handler ---- */

static uintptr_t interrupted_at(const ucontext_t *context)
{
#if defined(__x86_64__)
    return (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (uintptr_t)context->uc_mcontext.pc;
#else
    return 0;
#endif
}

/* Skip the handler's own frames. */
static size_t first_frame(void *const *frames, size_t depth, uintptr_t interrupted)
{
    for (size_t i = 0; i < depth; i++)
        if ((uintptr_t)frames[i] == interrupted)
            return i;
    return depth < 2 ? depth : 2;
}

static void sample(int number, siginfo_t *info, void *context)
{
    enum { OWN_FRAMES = 4 };
    char thread[OBS_STACK_THREAD_SIZE] = "";
    void *found[OBS_PROFILER_DEPTH + OWN_FRAMES];
    uintptr_t frames[OBS_PROFILER_DEPTH];
    size_t found_depth, first, depth = 0;
    int error = errno;

    if (atomic_flag_test_and_set_explicit(&is_table_busy, memory_order_acquire))
        return;
    if (active) {
        found_depth = (size_t)backtrace(found, OBS_COUNT(found));
        first = first_frame(found, found_depth, interrupted_at(context));
        for (size_t i = first; i < found_depth && depth < OBS_COUNT(frames); i++)
            frames[depth++] = (uintptr_t)found[i] - (i > first); /* into the call, not behind it */
        prctl(PR_GET_NAME, thread);
        obs_stack_table_add(active, thread, frames, depth, 1);
    }
    atomic_flag_clear_explicit(&is_table_busy, memory_order_release);
    errno = error;
}

/* ---- turns ---- */

static struct obs_stack_table *swap_active(struct obs_stack_table *next)
{
    struct obs_stack_table *before;
    sigset_t profiling, mask;

    sigemptyset(&profiling);
    sigaddset(&profiling, SIGPROF);
    pthread_sigmask(SIG_BLOCK, &profiling, &mask); /* or our own handler would find it busy */
    while (atomic_flag_test_and_set_explicit(&is_table_busy, memory_order_acquire))
        ;
    before = active;
    active = next;
    atomic_flag_clear_explicit(&is_table_busy, memory_order_release);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    return before;
}

/* On-demand profiles cut windows short, so what is kept is counted in time. */
static bool is_oldest_due(const struct profiler *p, uint64_t now_ns)
{
    return p->window_count == WINDOWS_MAX ||
           (p->window_count > 0 && p->windows[0]->start_ns + p->kept_ns < now_ns);
}

static void keep_window(struct profiler *p, struct obs_stack_window *window)
{
    while (is_oldest_due(p, window->end_ns)) {
        free(p->windows[0]);
        p->window_count--;
        memmove(p->windows, p->windows + 1, p->window_count * sizeof(p->windows[0]));
    }
    p->windows[p->window_count++] = window;
}

/* Ends the running window and begins the next. With the lock held. Return: the one that ended, or
 * NULL (memory); borrowed until the lock is let go. */
static const struct obs_stack_window *turn(struct profiler *p)
{
    uint64_t now_ns = obs_time_ns();
    struct obs_stack_table *full;
    struct obs_stack_window *window;

    p->spare->start_ns = now_ns;
    full = swap_active(p->spare);
    full->end_ns = now_ns;
    window = obs_stack_window_new(full);
    if (window) {
        if (p->taken)
            obs_stack_table_merge(p->taken, window);
        keep_window(p, window);
    }
    obs_stack_table_clear(full);
    p->spare = full;
    return window;
}

/* ---- continuous windows ---- */

static int push_body(const struct obs_stack_window *window, struct obs_buffer *body)
{
    OBS_CLEANUP(obs_stack_table_freep) struct obs_stack_table *table = NULL;
    int r = obs_stack_table_new(&table);

    if (r < 0)
        return r;
    obs_stack_table_merge(table, window);
    return obs_profile_emit(table, OBS_PROFILE_FOLDED, body);
}

/* Pyroscope's /ingest. A window that cannot be delivered is not sent again: the next one follows.
 */
static void push(struct profiler *p, uint64_t start_ns, uint64_t end_ns,
                 const struct obs_buffer *body)
{
    OBS_HTTP_REPLY reply = {0};
    char target[640], label[128] = "";
    struct obs_http_call call = {
        .method = "POST",
        .target = target,
        .body = body->data,
        .body_size = body->size,
        .content_type = "text/plain",
        .timeout_ms = PUSH_TIMEOUT_MS,
    };

    if (p->version[0] != '\0')
        snprintf(label, sizeof(label), "%%7Bversion%%3D%s%%7D", p->version); /* {version=…} */
    snprintf(target, sizeof(target),
             "%s/ingest?name=%s%s&from=%" PRIu64 "&until=%" PRIu64
             "&format=folded&sampleRate=%d&units=samples&aggregationType=sum",
             p->prefix, p->name, label, (uint64_t)(start_ns / OBS_NS_PER_SECOND),
             (uint64_t)((end_ns + OBS_NS_PER_SECOND - 1) / OBS_NS_PER_SECOND), OBS_PROFILER_HZ);
    (void)obs_http_client_call(p->client, &call, &reply);
}

static void end_window(struct profiler *p)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer body = OBS_BUFFER_INIT(PUSH_MAX);
    const struct obs_stack_window *window = turn(p);
    uint64_t start_ns, end_ns;
    int r;

    if (!window || !p->client || (window->stack_count == 0 && window->other == 0))
        return;
    start_ns = window->start_ns;
    end_ns = window->end_ns;
    r = push_body(window, &body);
    if (r < 0)
        return;
    pthread_mutex_unlock(&p->lock);
    push(p, start_ns, end_ns, &body);
    pthread_mutex_lock(&p->lock);
}

static void wait_until(struct profiler *p, uint64_t until_ns)
{
    struct timespec until = {.tv_sec = (time_t)(until_ns / OBS_NS_PER_SECOND),
                             .tv_nsec = (long)(until_ns % OBS_NS_PER_SECOND)};
    int r = 0;

    while (!p->is_stopping && r == 0 && strcmp(p->version, p->next_version) == 0)
        r = pthread_cond_timedwait(&p->wake, &p->lock, &until);
}

static void *window_thread(void *userdata)
{
    struct profiler *p = userdata;

    pthread_mutex_lock(&p->lock);
    while (!p->is_stopping) {
        wait_until(p, obs_mono_ns() + p->window_ns);
        if (!p->is_stopping)
            end_window(p);
        memcpy(p->version, p->next_version, sizeof(p->version));
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* ---- start and stop ---- */

static struct profiler *profiler_free(struct profiler *p)
{
    obs_http_client_free(p->client);
    obs_stack_table_free(p->spare);
    for (size_t i = 0; i < p->window_count; i++)
        free(p->windows[i]);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p);
    return NULL;
}

static int open_endpoint(struct profiler *p, const struct obs_profiler_options *options)
{
    struct obs_endpoint endpoint;
    int r;

    if (!options->endpoint || !*options->endpoint)
        return 0;
    r = obs_endpoint_parse(options->endpoint, &endpoint, NULL);
    if (r == 0 && obs_text_percent_encode(options->service, strlen(options->service), p->name,
                                          sizeof(p->name)) != 0)
        r = -EINVAL;
    if (r != 0)
        return r < 0 ? r : -EINVAL;
    endpoint.client.idle_max = 1;
    memcpy(p->prefix, endpoint.prefix, sizeof(p->prefix));
    return obs_http_client_new(&endpoint.client, &p->client);
}

static int profiler_new(const struct obs_profiler_options *options, struct profiler **ret_profiler)
{
    struct profiler *p = calloc(1, sizeof(*p));
    pthread_condattr_t monotonic;
    int r;

    if (!p)
        return -ENOMEM;
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&p->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    p->window_ns = (options->window_s ? options->window_s : WINDOW_S) * OBS_NS_PER_SECOND;
    /* Half a window more, for ends that come late. */
    p->kept_ns = (options->windows ? options->windows : WINDOWS) * p->window_ns + p->window_ns / 2;
    r = obs_stack_table_new(&p->spare);
    if (r == 0)
        r = open_endpoint(p, options);
    if (r < 0) {
        profiler_free(p);
        return r;
    }
    *ret_profiler = p;
    return 0;
}

static int set_timer(int hz)
{
    struct itimerval timer = {0};

    if (hz > 0)
        timer.it_interval.tv_usec = timer.it_value.tv_usec = 1000000 / hz;
    return setitimer(ITIMER_PROF, &timer, NULL) < 0 ? -errno : 0;
}

static int start_sampling(void)
{
    struct sigaction action = {.sa_sigaction = sample, .sa_flags = SA_SIGINFO | SA_RESTART};
    void *frames[4];

    /* The first call loads libgcc, which a signal handler must not. */
    backtrace(frames, OBS_COUNT(frames));
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGPROF, &action, NULL) < 0)
        return -errno;
    return set_timer(OBS_PROFILER_HZ);
}

static void stop_sampling(void)
{
    set_timer(0);
    signal(SIGPROF, SIG_IGN);
    obs_stack_table_free(swap_active(NULL));
}

static int start_thread(struct profiler *p)
{
    sigset_t blocked, before;
    int r;

    sigfillset(&blocked);
    sigdelset(&blocked, SIGPROF);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    r = pthread_create(&p->thread, NULL, window_thread, p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r != 0)
        return -r;
    pthread_setname_np(p->thread, "profiler");
    return 0;
}

static int start(const struct obs_profiler_options *options)
{
    OBS_CLEANUP(obs_stack_table_freep) struct obs_stack_table *first = NULL;
    struct profiler *p;
    int r = obs_stack_table_new(&first);

    if (r < 0)
        return r;
    r = profiler_new(options, &p);
    if (r < 0)
        return r;
    first->start_ns = obs_time_ns();
    swap_active(OBS_TAKE(first));
    r = start_sampling();
    if (r == 0)
        r = start_thread(p);
    if (r < 0) {
        stop_sampling();
        profiler_free(p);
        return r;
    }
    profiler = p;
    return 0;
}

int obs_profiler_start(const struct obs_profiler_options *options)
{
    int r = -EALREADY;

    pthread_mutex_lock(&start_lock);
    if (!profiler)
        r = start(options);
    pthread_mutex_unlock(&start_lock);
    return r;
}

void obs_profiler_set_version(const char *version)
{
    pthread_mutex_lock(&start_lock);
    if (profiler) {
        pthread_mutex_lock(&profiler->lock);
        if (obs_text_percent_encode(version, strlen(version), profiler->next_version,
                                    sizeof(profiler->next_version)) != 0)
            profiler->next_version[0] = '\0';
        pthread_cond_broadcast(&profiler->wake);
        pthread_mutex_unlock(&profiler->lock);
    }
    pthread_mutex_unlock(&start_lock);
}

void obs_profiler_stop(void)
{
    struct profiler *p;

    pthread_mutex_lock(&start_lock);
    p = profiler;
    profiler = NULL;
    if (p) {
        pthread_mutex_lock(&p->lock);
        p->is_stopping = true;
        pthread_cond_broadcast(&p->wake);
        while (p->takers > 0)
            pthread_cond_wait(&p->wake, &p->lock);
        pthread_mutex_unlock(&p->lock);
        pthread_join(p->thread, NULL);
        stop_sampling();
        profiler_free(p);
    }
    pthread_mutex_unlock(&start_lock);
}

/* ---- reading ---- */

/* The running profiler with its lock held and a taker counted, or NULL. */
static struct profiler *enter(void)
{
    struct profiler *p;

    pthread_mutex_lock(&start_lock);
    p = profiler;
    if (p) {
        pthread_mutex_lock(&p->lock);
        p->takers++;
    }
    pthread_mutex_unlock(&start_lock);
    return p;
}

static void leave(struct profiler *p)
{
    p->takers--;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

static int take(struct profiler *p, unsigned seconds, struct obs_stack_table *table)
{
    if (p->taken)
        return OBS_PROFILER_BUSY;
    turn(p); /* what came before is not asked for */
    p->taken = table;
    wait_until(p, obs_mono_ns() + seconds * OBS_NS_PER_SECOND);
    turn(p);
    p->taken = NULL;
    return 0;
}

int obs_profiler_take(unsigned seconds, enum obs_profile_format format, struct obs_buffer *b)
{
    OBS_CLEANUP(obs_stack_table_freep) struct obs_stack_table *table = NULL;
    struct profiler *p;
    int r;

    if (seconds < 1 || seconds > 60)
        return -EINVAL;
    r = obs_stack_table_new(&table);
    if (r < 0)
        return r;
    p = enter();
    if (!p)
        return -ENODEV;
    r = take(p, seconds, table);
    leave(p);
    return r == 0 ? obs_profile_emit(table, format, b) : r;
}

int obs_profiler_window(uint64_t from_ns, uint64_t until_ns, enum obs_profile_format format,
                        struct obs_buffer *b)
{
    OBS_CLEANUP(obs_stack_table_freep) struct obs_stack_table *table = NULL;
    struct profiler *p;
    int r = obs_stack_table_new(&table);

    if (r < 0)
        return r;
    p = enter();
    if (!p)
        return -ENODEV;
    for (size_t i = 0; i < p->window_count; i++)
        if (p->windows[i]->end_ns > from_ns && p->windows[i]->start_ns < until_ns)
            obs_stack_table_merge(table, p->windows[i]);
    leave(p);
    return obs_profile_emit(table, format, b);
}
