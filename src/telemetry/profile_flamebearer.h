#pragma once
/*
 * Flamebearer: a tree as Pyroscope's flame graphs read it.
 *
 *   single   levels of (x, total, self, name), x counted from the end of the bar before
 *   double   levels of (x, total, self) of the left side, the same of the right side, name
 *
 * A node's own value comes first, its children behind it in order of name. Nodes beyond max_nodes,
 * smallest first, become one child "other" of their parent.
 */
#include "telemetry/profile_tree.h"

#define FLAMEBEARER_NODES 8192 /* when nobody says */
#define FLAMEBEARER_NODES_MAX 65536

/* Append {"names":…,"levels":…,"numTicks":…,"maxSelf":…}. @tree has been summed. Return: 0, the
 * buffer's error, -ENOMEM. */
int profile_flamebearer_emit(const struct profile_tree *tree, bool is_double, size_t max_nodes,
                             struct obs_buffer *b);
