#pragma once
/*
 * Profile tree: stacks merged by their common beginnings, with exact sums.
 *
 * What an ingested profile is decoded into, and what a query merges profiles into. A parent always
 * stands before its children, so one pass over the nodes in order writes or copies a tree. Each
 * node has a value on two sides: profiles use PROFILE_LEFT alone, a diff puts its second range on
 * PROFILE_RIGHT. One thread at a time.
 */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "telemetry/model.h"

#define PROFILE_ROOT 0u
#define PROFILE_VALUE_MAX ((1ULL << 53) - 1) /* of one sample: exact in JSON readers */

enum profile_side { PROFILE_LEFT, PROFILE_RIGHT };

struct profile_node {
    uint32_t parent, name;              /* name: index for profile_tree_name() */
    uint32_t first_child, next_sibling; /* PROFILE_ROOT: none */
    uint64_t self[2];
    uint64_t total[2]; /* after profile_tree_sum() */
};

struct profile_tree_limits {
    size_t nodes;      /* 0: 262144 */
    size_t name_bytes; /* all different names together; 0: 16 MiB */
};

struct profile_tree;

int profile_tree_new(const struct profile_tree_limits *limits, struct profile_tree **ret_tree);
struct profile_tree *profile_tree_free(struct profile_tree *tree);

/* The child of @parent with that name, made when it is not there. Return: 0; -EMSGSIZE (a limit);
 * -ENOMEM. The name is copied. */
int profile_tree_child(struct profile_tree *tree, uint32_t parent, struct text_view name,
                       uint32_t *ret_node);
/* Sums end at UINT64_MAX / 4 instead of going round. */
void profile_tree_add(struct profile_tree *tree, uint32_t node, enum profile_side side,
                      uint64_t value);
/* Each self value times @numerator / @denominator, rounded to nearest. */
void profile_tree_scale(struct profile_tree *tree, enum profile_side side, uint64_t numerator,
                        uint64_t denominator);
uint64_t profile_scale(uint64_t value, uint64_t numerator, uint64_t denominator);

/* Sort children by name and set every total. */
int profile_tree_sum(struct profile_tree *tree);

size_t profile_tree_count(const struct profile_tree *tree); /* nodes, with the root */
const struct profile_node *profile_tree_at(const struct profile_tree *tree, uint32_t node);
struct text_view profile_tree_name(const struct profile_tree *tree, uint32_t name);
size_t profile_tree_names(const struct profile_tree *tree); /* 0 is the root's "total" */
uint64_t profile_tree_self_sum(const struct profile_tree *tree, enum profile_side side);

OBS_DEFINE_CLEANUP(struct profile_tree *, profile_tree_free)
