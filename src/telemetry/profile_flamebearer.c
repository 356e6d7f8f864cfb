/*
 * Level by level: the bars of a level know where they stand, and give the next level its bars in
 * order. "other" is a bar without a node.
 */
#include "telemetry/profile_flamebearer.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define OTHER UINT32_MAX

struct bar {
    uint32_t node; /* OTHER: what was too small */
    uint64_t x[2], total[2];
};

struct bars {
    struct bar *items;
    size_t count, room;
};

struct emitter {
    const struct profile_tree *tree;
    struct obs_buffer *b;
    int sides;
    bool *is_shown;  /* [node] */
    uint32_t *names; /* [name of the tree]: number among the names sent, + 1 */
    uint32_t *sent;  /* the other way round */
    uint32_t sent_count, other_name;
    uint64_t max_self;
};

static uint64_t size_of(const struct profile_node *node)
{
    return node->total[0] > node->total[1] ? node->total[0] : node->total[1];
}

static int compare_sizes(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x < y) - (x > y);
}

/* Which nodes have a bar: the @max_nodes largest, and a parent is never smaller than its child. */
static int choose(struct emitter *e, size_t max_nodes)
{
    size_t count = profile_tree_count(e->tree);
    uint64_t *sizes = malloc(count * sizeof(*sizes));
    uint64_t least = 1;
    size_t equal = SIZE_MAX;

    if (!sizes)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++)
        sizes[i] = size_of(profile_tree_at(e->tree, i));
    if (count > max_nodes) {
        qsort(sizes, count, sizeof(*sizes), compare_sizes);
        least = sizes[max_nodes - 1] > 0 ? sizes[max_nodes - 1] : 1;
        equal = 0;
        for (size_t i = 0; i < max_nodes; i++)
            equal += sizes[i] == least;
    }
    free(sizes);
    for (uint32_t i = 0; i < count; i++) {
        const struct profile_node *node = profile_tree_at(e->tree, i);
        uint64_t size = size_of(node);

        e->is_shown[i] = i == PROFILE_ROOT || (e->is_shown[node->parent] &&
                                               (size > least || (size == least && equal > 0)));
        if (e->is_shown[i] && size == least && equal != SIZE_MAX && equal > 0)
            equal--;
    }
    return 0;
}

static uint32_t name_of(struct emitter *e, uint32_t node)
{
    uint32_t name;

    if (node == OTHER) {
        if (e->other_name == 0) {
            e->sent[e->sent_count++] = OTHER;
            e->other_name = e->sent_count;
        }
        return e->other_name - 1;
    }
    name = profile_tree_at(e->tree, node)->name;
    if (e->names[name] == 0) {
        e->sent[e->sent_count++] = name;
        e->names[name] = e->sent_count;
    }
    return e->names[name] - 1;
}

static int push(struct bars *bars, const struct bar *bar)
{
    if (bars->count == bars->room) {
        size_t room = bars->room ? bars->room * 2 : 64;
        struct bar *items = realloc(bars->items, room * sizeof(*items));

        if (!items)
            return -ENOMEM;
        bars->items = items;
        bars->room = room;
    }
    bars->items[bars->count++] = *bar;
    return 0;
}

static int push_children(const struct emitter *e, const struct bar *parent, struct bars *next)
{
    const struct profile_node *node = profile_tree_at(e->tree, parent->node);
    struct bar other = {.node = OTHER};
    uint64_t x[2];
    int r = 0;

    for (int s = 0; s < 2; s++)
        x[s] = parent->x[s] + node->self[s];
    for (uint32_t i = node->first_child; i != PROFILE_ROOT && r == 0;
         i = profile_tree_at(e->tree, i)->next_sibling) {
        const struct profile_node *child = profile_tree_at(e->tree, i);
        struct bar bar = {.node = i};

        for (int s = 0; s < 2; s++) {
            bar.x[s] = x[s];
            bar.total[s] = child->total[s];
            if (e->is_shown[i])
                x[s] += child->total[s];
            else
                other.total[s] += child->total[s];
        }
        if (e->is_shown[i])
            r = push(next, &bar);
    }
    memcpy(other.x, x, sizeof(x));
    return r == 0 && (other.total[0] > 0 || other.total[1] > 0) ? push(next, &other) : r;
}

static void emit_level(struct emitter *e, const struct bars *level)
{
    uint64_t end[2] = {0, 0};

    obs_buffer_append_char(e->b, '[');
    for (size_t i = 0; i < level->count; i++) {
        const struct bar *bar = &level->items[i];

        for (int s = 0; s < e->sides; s++) {
            uint64_t self =
                bar->node == OTHER ? bar->total[s] : profile_tree_at(e->tree, bar->node)->self[s];

            obs_buffer_printf(e->b, "%s%" PRIu64 ",%" PRIu64 ",%" PRIu64, i + s ? "," : "",
                              bar->x[s] - end[s], bar->total[s], self);
            end[s] = bar->x[s] + bar->total[s];
            e->max_self = self > e->max_self ? self : e->max_self;
        }
        obs_buffer_printf(e->b, ",%" PRIu32, name_of(e, bar->node));
    }
    obs_buffer_append_char(e->b, ']');
}

static int emit_levels(struct emitter *e)
{
    struct bar root = {.node = PROFILE_ROOT};
    struct bars level = {0}, next = {0};
    int r;

    memcpy(root.total, profile_tree_at(e->tree, PROFILE_ROOT)->total, sizeof(root.total));
    r = push(&level, &root);
    obs_buffer_append_text(e->b, "\"levels\":[");
    for (bool is_first = true; r == 0 && level.count > 0; is_first = false) {
        struct bars spare = level;

        if (!is_first)
            obs_buffer_append_char(e->b, ',');
        emit_level(e, &level);
        next.count = 0;
        for (size_t i = 0; i < level.count && r == 0; i++) {
            if (level.items[i].node != OTHER)
                r = push_children(e, &level.items[i], &next);
        }
        level = next;
        next = spare;
    }
    obs_buffer_append_char(e->b, ']');
    free(level.items);
    free(next.items);
    return r;
}

static void emit_names(struct emitter *e)
{
    obs_buffer_append_text(e->b, ",\"names\":[");
    for (uint32_t i = 0; i < e->sent_count; i++) {
        struct text_view name = {"other", 5};

        if (e->sent[i] != OTHER)
            name = profile_tree_name(e->tree, e->sent[i]);
        if (i > 0)
            obs_buffer_append_char(e->b, ',');
        obs_buffer_append_json(e->b, name.text, name.size);
    }
    obs_buffer_append_char(e->b, ']');
}

int profile_flamebearer_emit(const struct profile_tree *tree, bool is_double, size_t max_nodes,
                             struct obs_buffer *b)
{
    struct emitter e = {.tree = tree, .b = b, .sides = is_double ? 2 : 1};
    const struct profile_node *root = profile_tree_at(tree, PROFILE_ROOT);
    size_t names = profile_tree_names(tree);
    int r = -ENOMEM;

    e.is_shown = calloc(profile_tree_count(tree), sizeof(*e.is_shown));
    e.names = calloc(names, sizeof(*e.names));
    e.sent = calloc(names + 1, sizeof(*e.sent));
    if (e.is_shown && e.names && e.sent)
        r = choose(&e, max_nodes);
    if (r == 0) {
        obs_buffer_append_char(b, '{');
        r = emit_levels(&e);
    }
    if (r == 0) {
        emit_names(&e);
        obs_buffer_printf(b, ",\"numTicks\":%" PRIu64 ",\"maxSelf\":%" PRIu64 "}",
                          root->total[0] + (is_double ? root->total[1] : 0), e.max_self);
        r = b->error;
    }
    free(e.is_shown);
    free(e.names);
    free(e.sent);
    return r;
}
