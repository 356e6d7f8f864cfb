#pragma once
/* Mailbox: hands work from any thread to the thread of an event loop, in order. */
#include "base/cleanup.h"

struct event_base;
struct obs_mailbox;

/* @userdata is the letter's; runs in the loop's thread. */
typedef void obs_letter_fn(void *userdata);

int obs_mailbox_new(struct event_base *base,
                    struct obs_mailbox **ret_mailbox); /* 0, -ENOMEM, -errno */
/* In the loop's thread, when nobody posts any more; runs what is still inside. */
struct obs_mailbox *obs_mailbox_free(struct obs_mailbox *mailbox);

/* Any thread. Return: 0, -ENOMEM. */
int obs_mailbox_post(struct obs_mailbox *mailbox, obs_letter_fn *fn, void *userdata);
OBS_DEFINE_CLEANUP(struct obs_mailbox *, obs_mailbox_free)
