/*
 * Mailbox: a locked list and an eventfd that wakes the loop.
 *
 * The loop takes the whole list at once and runs it without the lock, so a letter may post letters;
 * those run in the loop's next round, after other events had their turn.
 */
#include "base/mailbox.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/eventfd.h>

struct letter {
    struct letter *next;
    obs_letter_fn *fn;
    void *userdata;
};

struct obs_mailbox {
    int wake_fd;
    struct event *wake;
    pthread_mutex_t mutex;
    struct letter *first, **end; /* under mutex */
};

static struct letter *take_all(struct obs_mailbox *mailbox)
{
    struct letter *letters;

    pthread_mutex_lock(&mailbox->mutex);
    letters = mailbox->first;
    mailbox->first = NULL;
    mailbox->end = &mailbox->first;
    pthread_mutex_unlock(&mailbox->mutex);
    return letters;
}

static void run_all(struct letter *letters)
{
    while (letters) {
        struct letter *letter = letters;

        letters = letter->next;
        letter->fn(letter->userdata);
        free(letter);
    }
}

static void on_wake(evutil_socket_t fd, short what, void *userdata)
{
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof(count));

    (void)n; /* empty when an earlier round took this letter too: nothing to run then */
    run_all(take_all(userdata));
}

int obs_mailbox_new(struct event_base *base, struct obs_mailbox **ret_mailbox)
{
    OBS_CLEANUP(obs_mailbox_freep) struct obs_mailbox *mailbox = calloc(1, sizeof(*mailbox));

    if (!mailbox)
        return -ENOMEM;
    mailbox->end = &mailbox->first;
    pthread_mutex_init(&mailbox->mutex, NULL);
    mailbox->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (mailbox->wake_fd < 0)
        return -errno;
    mailbox->wake = event_new(base, mailbox->wake_fd, EV_READ | EV_PERSIST, on_wake, mailbox);
    if (!mailbox->wake || event_add(mailbox->wake, NULL) < 0)
        return -ENOMEM;
    *ret_mailbox = OBS_TAKE(mailbox);
    return 0;
}

struct obs_mailbox *obs_mailbox_free(struct obs_mailbox *mailbox)
{
    struct letter *letters;

    if (!mailbox)
        return NULL;
    while ((letters = take_all(mailbox))) /* letters may post letters */
        run_all(letters);
    if (mailbox->wake)
        event_free(mailbox->wake);
    if (mailbox->wake_fd >= 0)
        close(mailbox->wake_fd);
    pthread_mutex_destroy(&mailbox->mutex);
    free(mailbox);
    return NULL;
}

int obs_mailbox_post(struct obs_mailbox *mailbox, obs_letter_fn *fn, void *userdata)
{
    struct letter *letter = malloc(sizeof(*letter));
    const uint64_t one = 1;
    ssize_t n;

    if (!letter)
        return -ENOMEM;
    *letter = (struct letter){.fn = fn, .userdata = userdata};
    pthread_mutex_lock(&mailbox->mutex);
    *mailbox->end = letter;
    mailbox->end = &letter->next;
    /* Inside the lock: once it is released, the loop may run the letter and free the mailbox. */
    n = write(mailbox->wake_fd, &one, sizeof(one));
    pthread_mutex_unlock(&mailbox->mutex);
    (void)n; /* fails only when 2^64 - 2 wakes wait: the loop wakes anyway */
    return 0;
}
