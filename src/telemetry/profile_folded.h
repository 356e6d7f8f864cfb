#pragma once
/*
 * Folded stacks: the text form of a profile, read and written.
 *
 *   groups, folded   `outer;inner count`, one stack a line
 *   lines            `outer;inner`, one line a sample
 */
#include "base/reason.h"
#include "telemetry/profile_tree.h"

#define PROFILE_DEPTH_MAX 1024

enum profile_decode_outcome {
    PROFILE_DECODED = 0,
    PROFILE_MALFORMED = 1, /* 400: reason */
    PROFILE_TOO_LARGE = 2, /* 413: reason names the limit */
};

enum profile_folded_form { PROFILE_GROUPS, PROFILE_LINES };

/* Add every stack of @text to @tree. Return: an outcome (reason has the line), -ENOMEM. The tree is
 * half filled on anything but PROFILE_DECODED. */
int profile_folded_decode(struct text_view text, enum profile_folded_form form,
                          struct profile_tree *tree, struct obs_reason *reterr_reason);

/* Append the stacks of one side that have a value of their own. `;` and line ends inside names
 * become
 * `_`. Return: 0 or the buffer's error. */
int profile_folded_emit(const struct profile_tree *tree, enum profile_side side,
                        struct obs_buffer *b);
