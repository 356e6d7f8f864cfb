/*
 * Nodes in one array, found by (parent, name) in an open-addressing table: a list of children alone
 * would be quadratic for a hostile profile with one wide node.
 */
#include "telemetry/profile_tree.h"

#include "telemetry/profile_names.h"
#include <errno.h>
#include <string.h>

#define NODES_MAX 262144
#define NAME_BYTES_MAX (16u << 20)
#define SUM_MAX (UINT64_MAX / 4)

struct profile_tree {
    struct profile_node *nodes;
    size_t node_count, node_room, node_max;
    uint32_t *slots;  /* node + 1; 0: empty */
    size_t slot_mask; /* slots - 1, a power of two of them */
    struct profile_names *names;
};

struct profile_tree *profile_tree_free(struct profile_tree *tree)
{
    if (!tree)
        return NULL;
    free(tree->nodes);
    free(tree->slots);
    profile_names_free(tree->names);
    free(tree);
    return NULL;
}

static uint64_t hash_pair(uint32_t parent, uint32_t name)
{
    uint64_t hash = ((uint64_t)parent << 32 | name) * 0x9e3779b97f4a7c15ULL;

    return hash ^ hash >> 31;
}

static void put(struct profile_tree *tree, uint32_t node)
{
    size_t at = hash_pair(tree->nodes[node].parent, tree->nodes[node].name) & tree->slot_mask;

    while (tree->slots[at] != 0)
        at = (at + 1) & tree->slot_mask;
    tree->slots[at] = node + 1;
}

/* Keep at least half of the slots empty. */
static int make_slots(struct profile_tree *tree)
{
    size_t mask = tree->slots ? tree->slot_mask * 2 + 1 : 63;
    uint32_t *slots;

    if (tree->slots && tree->node_count * 2 <= tree->slot_mask)
        return 0;
    slots = calloc(mask + 1, sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    free(tree->slots);
    tree->slots = slots;
    tree->slot_mask = mask;
    for (uint32_t i = 0; i < tree->node_count; i++)
        put(tree, i);
    return 0;
}

static int make_node(struct profile_tree *tree)
{
    size_t room = tree->node_room ? tree->node_room * 2 : 64;
    struct profile_node *nodes;

    if (tree->node_count < tree->node_room)
        return 0;
    nodes = realloc(tree->nodes, room * sizeof(*nodes));
    if (!nodes)
        return -ENOMEM;
    tree->nodes = nodes;
    tree->node_room = room;
    return 0;
}

static int append_node(struct profile_tree *tree, uint32_t parent, uint32_t name,
                       uint32_t *ret_node)
{
    int r;

    if (tree->node_count >= tree->node_max)
        return -EMSGSIZE;
    r = make_node(tree);
    if (r < 0)
        return r;
    *ret_node = (uint32_t)tree->node_count;
    tree->nodes[tree->node_count++] = (struct profile_node){.parent = parent, .name = name};
    put(tree, *ret_node);
    if (*ret_node != PROFILE_ROOT) {
        tree->nodes[*ret_node].next_sibling = tree->nodes[parent].first_child;
        tree->nodes[parent].first_child = *ret_node;
    }
    return 0;
}

int profile_tree_child(struct profile_tree *tree, uint32_t parent, struct text_view name,
                       uint32_t *ret_node)
{
    uint32_t id;
    int r = make_slots(tree);

    if (r == 0)
        r = profile_names_put(tree->names, name, &id);
    if (r < 0)
        return r;
    for (size_t at = hash_pair(parent, id) & tree->slot_mask; tree->slots[at] != 0;
         at = (at + 1) & tree->slot_mask) {
        uint32_t node = tree->slots[at] - 1;

        if (node != PROFILE_ROOT && tree->nodes[node].parent == parent &&
            tree->nodes[node].name == id) {
            *ret_node = node;
            return 0;
        }
    }
    return append_node(tree, parent, id, ret_node);
}

int profile_tree_new(const struct profile_tree_limits *limits, struct profile_tree **ret_tree)
{
    OBS_CLEANUP(profile_tree_freep) struct profile_tree *tree = calloc(1, sizeof(*tree));
    struct text_view root = {"total", 5};
    uint32_t name, node;
    int r;

    if (!tree)
        return -ENOMEM;
    tree->node_max = limits && limits->nodes ? limits->nodes : NODES_MAX;
    r = profile_names_new(limits && limits->name_bytes ? limits->name_bytes : NAME_BYTES_MAX,
                          &tree->names);
    if (r == 0)
        r = make_slots(tree);
    if (r == 0)
        r = profile_names_put(tree->names, root, &name);
    if (r == 0)
        r = append_node(tree, PROFILE_ROOT, name, &node);
    if (r < 0)
        return r;
    *ret_tree = OBS_TAKE(tree);
    return 0;
}

/* ---- values ---- */

static uint64_t add_up(uint64_t a, uint64_t b)
{
    return a > SUM_MAX - (b < SUM_MAX ? b : SUM_MAX) ? SUM_MAX : a + b;
}

void profile_tree_add(struct profile_tree *tree, uint32_t node, enum profile_side side,
                      uint64_t value)
{
    tree->nodes[node].self[side] = add_up(tree->nodes[node].self[side], value);
}

uint64_t profile_scale(uint64_t value, uint64_t numerator, uint64_t denominator)
{
    __extension__ typedef unsigned __int128 wide;
    wide scaled = ((wide)value * numerator + denominator / 2) / denominator;

    return scaled > SUM_MAX ? SUM_MAX : (uint64_t)scaled;
}

void profile_tree_scale(struct profile_tree *tree, enum profile_side side, uint64_t numerator,
                        uint64_t denominator)
{
    for (size_t i = 0; i < tree->node_count; i++)
        tree->nodes[i].self[side] =
            profile_scale(tree->nodes[i].self[side], numerator, denominator);
}

struct ordered {
    const struct profile_tree *tree;
    uint32_t node;
};

static int compare_siblings(const void *a, const void *b)
{
    const struct ordered *x = a, *y = b;
    const struct profile_node *m = &x->tree->nodes[x->node], *n = &y->tree->nodes[y->node];
    struct text_view s = profile_names_at(x->tree->names, m->name);
    struct text_view t = profile_names_at(x->tree->names, n->name);
    int order;

    if (m->parent != n->parent)
        return m->parent < n->parent ? -1 : 1;
    order = memcmp(s.text, t.text, s.size < t.size ? s.size : t.size);
    return order != 0 ? order : (s.size > t.size) - (s.size < t.size);
}

/* One sort of all nodes by parent, then name; lists are tied from the end. */
static int sort_children(struct profile_tree *tree)
{
    struct ordered *all = malloc(tree->node_count * sizeof(*all));

    if (!all)
        return -ENOMEM;
    for (uint32_t i = 0; i < tree->node_count; i++) {
        all[i] = (struct ordered){tree, i};
        tree->nodes[i].first_child = tree->nodes[i].next_sibling = PROFILE_ROOT;
    }
    qsort(all + 1, tree->node_count - 1, sizeof(*all), compare_siblings);
    for (size_t i = tree->node_count - 1; i > 0; i--) {
        struct profile_node *node = &tree->nodes[all[i].node];
        struct profile_node *parent = &tree->nodes[node->parent];

        node->next_sibling = parent->first_child;
        parent->first_child = all[i].node;
    }
    free(all);
    return 0;
}

int profile_tree_sum(struct profile_tree *tree)
{
    int r = sort_children(tree);

    if (r < 0)
        return r;
    for (int side = PROFILE_LEFT; side <= PROFILE_RIGHT; side++) {
        for (size_t i = 0; i < tree->node_count; i++)
            tree->nodes[i].total[side] = tree->nodes[i].self[side];
        for (size_t i = tree->node_count - 1; i > 0; i--) {
            struct profile_node *parent = &tree->nodes[tree->nodes[i].parent];

            parent->total[side] = add_up(parent->total[side], tree->nodes[i].total[side]);
        }
    }
    return 0;
}

uint64_t profile_tree_self_sum(const struct profile_tree *tree, enum profile_side side)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < tree->node_count; i++)
        sum = add_up(sum, tree->nodes[i].self[side]);
    return sum;
}

size_t profile_tree_count(const struct profile_tree *tree)
{
    return tree->node_count;
}

const struct profile_node *profile_tree_at(const struct profile_tree *tree, uint32_t node)
{
    return &tree->nodes[node];
}

struct text_view profile_tree_name(const struct profile_tree *tree, uint32_t name)
{
    return profile_names_at(tree->names, name);
}

size_t profile_tree_names(const struct profile_tree *tree)
{
    return profile_names_count(tree->names);
}
