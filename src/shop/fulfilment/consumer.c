#include "shop/fulfilment/consumer.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/worker_pool.h"
#include "shop/service/amqp.h"
#include "shop/service/latency.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#define STOP_NS (8 * OBS_NS_PER_SECOND)
#define QUEUE_LIMIT 100000 /* prefetch bounds it in fact */
#define IDLE_MS 2000

struct job { /* a delivery on its way through the workers, then its verdict on the way back */
    struct consumer *consumer;
    struct delivery delivery;
    enum verdict verdict;
    uint64_t sequence; /* of its new copy, while that waits for a confirm */
    struct job *next;
};

struct consumer {
    struct consumer_options options;
    struct obs_worker_pool *pool;
    pthread_t thread;
    bool is_started;
    int wake_fd;
    atomic_bool is_stopping, is_consuming;
    atomic_uint generation; /* counts links; verdicts for an earlier one are void */

    pthread_mutex_t lock;
    struct fulfilment_settings settings; /* under lock */
    struct job *done, **done_end;        /* under lock: verdicts, oldest first */

    /* The link thread's own. */
    struct amqp_link *link;
    unsigned failures;  /* in a row */
    unsigned prefetch;  /* in force */
    size_t in_hand;     /* jobs out with the workers */
    struct job *copies; /* published again, not yet confirmed */
};

static struct job *job_free(struct job *job)
{
    if (job)
        free(job->delivery.body);
    free(job);
    return NULL;
}

static void wake(struct consumer *c)
{
    uint64_t one = 1;

    if (write(c->wake_fd, &one, sizeof(one)) < 0)
        return; /* the counter is full: it is awake */
}

static struct fulfilment_settings current_settings(struct consumer *c)
{
    struct fulfilment_settings settings;

    pthread_mutex_lock(&c->lock);
    settings = c->settings;
    pthread_mutex_unlock(&c->lock);
    return settings;
}

/* ---- worker threads ---- */

static void run_job(void *userdata)
{
    struct job *job = userdata;
    struct consumer *c = job->consumer;
    bool is_wanted =
        !atomic_load(&c->is_stopping) && job->delivery.generation == atomic_load(&c->generation);

    job->verdict = VERDICT_REQUEUE;
    if (is_wanted) {
        struct fulfilment_settings settings = current_settings(c);
        job->verdict = work_run(c->options.work, &settings, &job->delivery);
    }
    pthread_mutex_lock(&c->lock);
    *c->done_end = job;
    c->done_end = &job->next;
    pthread_mutex_unlock(&c->lock);
    wake(c);
}

/* ---- link thread: deliveries in ---- */

static struct job *job_new(struct consumer *c, const struct amqp_message *message)
{
    struct job *job = calloc(1, sizeof(*job));

    if (!job)
        return NULL;
    job->consumer = c;
    job->delivery.tag = message->tag;
    job->delivery.generation = atomic_load(&c->generation);
    job->delivery.is_redelivered = message->redelivered;
    job->delivery.attempts = message->attempts;
    snprintf(job->delivery.message_id, sizeof(job->delivery.message_id), "%s", message->message_id);
    snprintf(job->delivery.type, sizeof(job->delivery.type), "%s", message->type);
    snprintf(job->delivery.traceparent, sizeof(job->delivery.traceparent), "%s",
             message->traceparent);
    snprintf(job->delivery.last_error, sizeof(job->delivery.last_error), "%s", message->last_error);
    job->delivery.body = malloc(message->body_size + 1);
    if (!job->delivery.body)
        return job_free(job);
    if (message->body_size > 0)
        memcpy(job->delivery.body, message->body, message->body_size);
    job->delivery.body[message->body_size] = '\0';
    job->delivery.body_size = message->body_size;
    return job;
}

static void on_delivered(const struct amqp_message *message, void *userdata)
{
    struct consumer *c = userdata;
    struct job *job;

    if (message->body_size > MESSAGE_BODY_MAX) {
        obs_log(OBS_LOG_ERROR, "message set aside, it is too large",
                OBS_TEXT("message_id", message->message_id), OBS_INT("bytes", message->body_size));
        amqp_link_reject(c->link, message->tag, false);
        return;
    }
    job = job_new(c, message);
    if (job && obs_worker_pool_submit(c->pool, run_job, job) == OBS_WORKER_POOL_OK) {
        c->in_hand++;
        return;
    }
    job_free(job);
    amqp_link_reject(c->link, message->tag, true);
}

static void on_cancelled(void *userdata)
{
    struct consumer *c = userdata;

    c->prefetch = 0; /* the queue is gone: run_link() sees it and starts over */
}

/* ---- link thread: verdicts out ---- */

static void publish_copy(struct consumer *c, struct job *job)
{
    const struct delivery *delivery = &job->delivery;
    struct amqp_message message = {.exchange = AMQP_EXCHANGE,
                                   .routing_key = AMQP_QUEUE,
                                   .message_id = delivery->message_id,
                                   .type = delivery->type,
                                   .traceparent = delivery->traceparent,
                                   .attempts = delivery->attempts + 1,
                                   .last_error = delivery->last_error,
                                   .body = delivery->body,
                                   .body_size = delivery->body_size};

    amqp_link_publish(c->link, &message, &job->sequence);
    job->next = c->copies;
    c->copies = job;
}

/* The original is acknowledged only now that the broker has the copy. */
static void on_confirmed(uint64_t sequence, bool is_multiple, bool is_accepted, void *userdata)
{
    struct consumer *c = userdata;
    struct job **at = &c->copies;

    while (*at) {
        struct job *job = *at;
        if (job->sequence != sequence && !(is_multiple && job->sequence < sequence)) {
            at = &job->next;
            continue;
        }
        if (is_accepted)
            amqp_link_ack(c->link, job->delivery.tag);
        else
            amqp_link_reject(c->link, job->delivery.tag, true);
        *at = job->next;
        job_free(job);
    }
}

static void on_returned(const struct amqp_message *message, void *userdata)
{
    struct consumer *c = userdata;

    obs_log(OBS_LOG_ERROR, "no queue takes a message, starting over",
            OBS_TEXT("message_id", message->message_id));
    c->prefetch = 0; /* as if cancelled: its original comes again once the queue is there */
    while (c->copies) {
        struct job *job = c->copies;
        c->copies = job->next;
        job_free(job);
    }
}

static void apply_verdict(struct consumer *c, struct job *job)
{
    bool is_void = !c->link || job->delivery.generation != atomic_load(&c->generation);

    c->in_hand--;
    if (!is_void && job->verdict == VERDICT_AGAIN) {
        publish_copy(c, job);
        return;
    }
    if (!is_void && job->verdict == VERDICT_ACK)
        amqp_link_ack(c->link, job->delivery.tag);
    else if (!is_void)
        amqp_link_reject(c->link, job->delivery.tag, job->verdict == VERDICT_REQUEUE);
    job_free(job);
}

static void apply_verdicts(struct consumer *c)
{
    struct job *job;

    pthread_mutex_lock(&c->lock);
    job = OBS_TAKE(c->done);
    c->done_end = &c->done;
    pthread_mutex_unlock(&c->lock);
    while (job) {
        struct job *next = job->next;
        job->next = NULL;
        apply_verdict(c, job);
        job = next;
    }
}

/* ---- link thread: the link ---- */

static void drop_link(struct consumer *c, const char *why)
{
    if (c->failures++ == 0)
        obs_log(OBS_LOG_WARN, "broker unavailable, trying again", OBS_TEXT("error", why));
    atomic_store(&c->is_consuming, false);
    atomic_fetch_add(&c->generation, 1);
    c->prefetch = 0;
    if (c->link)
        amqp_link_abandon(c->link);
    c->link = amqp_link_free(c->link);
    while (c->copies) {
        struct job *job = c->copies;
        c->copies = job->next;
        job_free(job);
    }
}

static int open_link(struct consumer *c, struct obs_reason *why)
{
    char password[256] = "";
    struct amqp_link_options options = {.host = c->options.host,
                                        .port = c->options.port,
                                        .vhost = c->options.vhost,
                                        .user = c->options.user,
                                        .password = password,
                                        .name = "fulfilment consumer"};
    struct amqp_link_events events = {.delivered = on_delivered,
                                      .confirmed = on_confirmed,
                                      .returned = on_returned,
                                      .cancelled = on_cancelled,
                                      .userdata = c};
    int r = amqp_password_read(c->options.password_file, password, sizeof(password), why);

    if (r == 0)
        r = amqp_link_open(&options, &events, &c->link, why);
    if (r == 0)
        r = amqp_link_declare(c->link, why);
    explicit_bzero(password, sizeof(password));
    return r;
}

/* Consume with the prefetch that is set. A change cancels and begins anew on the same channel:
 * messages in hand keep their tags. */
static int follow_prefetch(struct consumer *c, struct obs_reason *why)
{
    unsigned wanted = current_settings(c).prefetch;
    int r = 0;

    if (c->prefetch == wanted)
        return 0;
    if (c->prefetch != 0)
        r = amqp_link_cancel(c->link);
    if (r == 0)
        r = amqp_link_consume(c->link, AMQP_QUEUE, (uint16_t)wanted, why);
    if (r != 0)
        return r;
    c->prefetch = wanted;
    return 0;
}

static int start_link(struct consumer *c, struct obs_reason *why)
{
    int r = open_link(c, why);

    if (r == 0)
        r = follow_prefetch(c, why);
    if (r != 0)
        return r;
    obs_log(OBS_LOG_INFO, "consuming", OBS_TEXT("queue", AMQP_QUEUE),
            OBS_INT("prefetch", c->prefetch), OBS_INT("attempts", c->failures + 1));
    c->failures = 0;
    atomic_store(&c->is_consuming, true);
    return 0;
}

/* One turn: pump, settle what is done, follow the settings. Return: 0, or the link is lost. */
static int run_link(struct consumer *c, struct obs_reason *why)
{
    int r = amqp_link_pump(c->link, c->wake_fd, IDLE_MS, why);

    if (r < 0)
        return r;
    apply_verdicts(c);
    if (c->prefetch == 0) {
        obs_reason_set(why, "the queue was deleted");
        return -EIO;
    }
    return follow_prefetch(c, why);
}

static void wait_backoff(struct consumer *c)
{
    struct pollfd fd = {.fd = c->wake_fd, .events = POLLIN};
    uint64_t end = obs_mono_ns() + amqp_backoff_ms(c->failures, latency_random()) * OBS_NS_PER_MS;
    uint64_t now, count;

    while (!atomic_load(&c->is_stopping) && (now = obs_mono_ns()) < end) {
        if (poll(&fd, 1, (int)((end - now) / OBS_NS_PER_MS) + 1) > 0 &&
            read(c->wake_fd, &count, sizeof(count)) < 0)
            break;
        apply_verdicts(c);
    }
}

/* What is in hand is finished and acknowledged; what waits for a thread goes back. */
static void finish_in_hand(struct consumer *c)
{
    uint64_t deadline = obs_mono_ns() + STOP_NS;
    struct obs_reason why = {0};
    struct pollfd fd = {.fd = c->wake_fd, .events = POLLIN};
    uint64_t count;

    if (c->link && amqp_link_cancel(c->link) < 0)
        drop_link(c, "lost while stopping");
    while (c->in_hand > 0 || (c->link && c->copies)) {
        if (obs_mono_ns() >= deadline) {
            bench_close(c->options.bench);
            deadline = UINT64_MAX;
        }
        if (!c->link) {
            if (poll(&fd, 1, 100) > 0 && read(c->wake_fd, &count, sizeof(count)) < 0)
                break;
        } else if (amqp_link_pump(c->link, c->wake_fd, 100, &why) < 0) {
            drop_link(c, why.text);
        }
        apply_verdicts(c);
    }
    c->link = amqp_link_free(c->link);
}

static void *run_consumer(void *userdata)
{
    struct consumer *c = userdata;

    while (!atomic_load(&c->is_stopping)) {
        struct obs_reason why = {0};
        int r = c->link ? run_link(c, &why) : start_link(c, &why);
        if (r != 0) {
            drop_link(c, why.text);
            wait_backoff(c);
        }
    }
    finish_in_hand(c);
    return NULL;
}

/* ---- life ---- */

void consumer_configure(struct consumer *c, const struct fulfilment_settings *settings)
{
    pthread_mutex_lock(&c->lock);
    c->settings = *settings;
    pthread_mutex_unlock(&c->lock);
    if (obs_worker_pool_resize(c->pool, settings->concurrency, QUEUE_LIMIT) < 0)
        obs_log(OBS_LOG_ERROR, "threads could not be started, ignoring",
                OBS_INT("threads", settings->concurrency));
    wake(c);
}

bool consumer_is_consuming(struct consumer *c)
{
    return atomic_load(&c->is_consuming);
}

int consumer_new(const struct consumer_options *options, struct consumer **ret_consumer)
{
    struct consumer *c = calloc(1, sizeof(*c));
    int r;

    if (!c)
        return -ENOMEM;
    c->options = *options;
    c->settings = options->settings;
    c->done_end = &c->done;
    pthread_mutex_init(&c->lock, NULL);
    c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r = c->wake_fd < 0
            ? -errno
            : obs_worker_pool_new("work", options->settings.concurrency, QUEUE_LIMIT, &c->pool);
    if (r == 0 && pthread_create(&c->thread, NULL, run_consumer, c) != 0)
        r = -EAGAIN;
    if (r < 0) {
        consumer_free(c);
        return r;
    }
    c->is_started = true;
    pthread_setname_np(c->thread, "consumer");
    *ret_consumer = c;
    return 0;
}

struct consumer *consumer_free(struct consumer *c)
{
    if (!c)
        return NULL;
    atomic_store(&c->is_stopping, true);
    if (c->is_started) {
        wake(c);
        pthread_join(c->thread, NULL);
    }
    c->pool = obs_worker_pool_free(c->pool);
    obs_closep(&c->wake_fd);
    pthread_mutex_destroy(&c->lock);
    free(c);
    return NULL;
}
