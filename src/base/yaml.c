/*
 * YAML: libfyaml's events, from which we build the JSON tree ourselves.
 *
 * Its document tree was decided against: it resolves aliases by sharing nodes, so a file of a few
 * lines ("billion laughs") grows without bound when it is copied. Here an alias copies its node,
 * and every node of the copy counts.
 */
#include "base/yaml.h"

#include "base/text.h"
#include "base/yaml_scalar.h"
#include <errno.h>
#include <libfyaml.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define DEPTH_MAX 64
#define NODES_MAX 10000
#define ANCHORS_MAX 256

struct level {
    json_t *node; /* borrowed: its parent owns it */
    char *key;    /* of a mapping: waits for its value */
    char *anchor; /* becomes known when the node is complete */
};

struct anchor {
    char *name;
    json_t *node; /* counted */
};

struct builder {
    json_t *documents, *root;
    struct level levels[DEPTH_MAX];
    unsigned depth, nodes;
    struct anchor anchors[ANCHORS_MAX];
    unsigned anchor_count;
    const struct fy_event *event; /* being read: place of refusals */
    struct obs_reason *reason;
};

static int refuse(struct builder *b, const char *why)
{
    const struct fy_mark *mark = fy_event_start_mark((struct fy_event *)b->event);

    obs_reason_set_at(b->reason, mark ? (unsigned)mark->line + 1 : 0,
                      mark ? (unsigned)mark->column + 1 : 0, "%s", why);
    return OBS_JSON_REFUSED;
}

/* ---- the tree ---- */

static void drop_anchors(struct builder *b)
{
    while (b->anchor_count > 0) {
        struct anchor *anchor = &b->anchors[--b->anchor_count];

        free(anchor->name);
        json_decref(anchor->node);
    }
}

static int keep_anchor(struct builder *b, char *name, json_t *node)
{
    if (b->anchor_count == ANCHORS_MAX) {
        free(name);
        return refuse(b, "too many anchors");
    }
    b->anchors[b->anchor_count++] = (struct anchor){name, json_incref(node)};
    return 0;
}

/* Hang @node (taken) into the open node. */
static int add_node(struct builder *b, json_t *node)
{
    struct level *level = b->depth ? &b->levels[b->depth - 1] : NULL;
    int r;

    if (!level) {
        b->root = node;
        return 0;
    }
    if (json_is_array(level->node))
        return json_array_append_new(level->node, node) < 0 ? -ENOMEM : 0;
    if (!level->key) { /* a mapping or an alias where a key must stand */
        json_decref(node);
        return refuse(b, "a key must be a plain or quoted scalar");
    }
    r = json_object_set_new(level->node, level->key, node) < 0 ? -ENOMEM : 0;
    free(level->key);
    level->key = NULL;
    return r;
}

static int count_nodes(struct builder *b, const json_t *node)
{
    json_t *object = (json_t *)node;
    const char *key;
    json_t *value;
    size_t i;
    int r = 0;

    if (++b->nodes > NODES_MAX)
        return refuse(b, "more than 10000 nodes");
    if (json_is_object(node)) {
        json_object_foreach (object, key, value) {
            r = count_nodes(b, value);
            if (r != 0)
                return r;
        }
    } else if (json_is_array(node)) {
        json_array_foreach (node, i, value) {
            r = count_nodes(b, value);
            if (r != 0)
                return r;
        }
    }
    return r;
}

static unsigned depth_of(const json_t *node)
{
    json_t *object = (json_t *)node;
    unsigned deepest = 0, below;
    const char *key;
    json_t *value;
    size_t i;

    if (json_is_object(node)) {
        json_object_foreach (object, key, value) {
            below = depth_of(value);
            deepest = below > deepest ? below : deepest;
        }
    } else if (json_is_array(node)) {
        json_array_foreach (node, i, value) {
            below = depth_of(value);
            deepest = below > deepest ? below : deepest;
        }
    }
    return deepest + 1;
}

/* Copy of a token's text; NULL and *ret_r set when it holds NUL, is not UTF-8, or out of memory. */
static char *token_text(struct builder *b, struct fy_token *token, int *ret_r)
{
    size_t size = 0;
    const char *text = token ? fy_token_get_text(token, &size) : "";
    char *copy;

    if (!text || memchr(text, '\0', size) || !obs_text_is_utf8(text, size)) {
        *ret_r = refuse(b, "text with a NUL or bytes that are not UTF-8");
        return NULL;
    }
    copy = strndup(text, size);
    if (!copy)
        *ret_r = -ENOMEM;
    return copy;
}

static char *event_anchor(struct builder *b, int *ret_r)
{
    struct fy_token *token = fy_event_get_anchor_token((struct fy_event *)b->event);

    return token ? token_text(b, token, ret_r) : NULL;
}

static int open_node(struct builder *b, json_t *node)
{
    int r = 0;
    char *anchor = event_anchor(b, &r);
    struct level *parent = b->depth ? &b->levels[b->depth - 1] : NULL;

    if (r == 0 && !node)
        r = -ENOMEM;
    if (r == 0 && parent && json_is_object(parent->node) && !parent->key)
        r = refuse(b, "a key must be a plain or quoted scalar");
    if (r == 0 && b->depth == DEPTH_MAX)
        r = refuse(b, "more than 64 levels of nesting");
    if (r == 0 && ++b->nodes > NODES_MAX)
        r = refuse(b, "more than 10000 nodes");
    if (r != 0) {
        free(anchor);
        json_decref(node);
        return r;
    }
    r = add_node(b, node);
    b->levels[b->depth++] = (struct level){.node = node, .anchor = anchor};
    return r;
}

static int close_node(struct builder *b)
{
    struct level *level = &b->levels[--b->depth];
    char *anchor = OBS_TAKE(level->anchor);

    return anchor ? keep_anchor(b, anchor, level->node) : 0;
}

/* Tags that say what we do anyway are accepted; what others mean would be lost in JSON. */
static int wants_text(struct builder *b, bool is_plain, bool *ret_text)
{
    struct fy_token *tag = fy_event_get_tag_token((struct fy_event *)b->event);
    size_t size = 0;
    const char *text = tag ? fy_token_get_text(tag, &size) : NULL;
    char name[64];

    *ret_text = !is_plain;
    if (!tag)
        return 0;
    snprintf(name, sizeof(name), "%.*s", size < 60 ? (int)size : 60, text ? text : "");
    if (strcmp(name, "!") == 0 || strcmp(name, "tag:yaml.org,2002:str") == 0)
        *ret_text = true;
    else if (strcmp(name, "tag:yaml.org,2002:map") != 0 &&
             strcmp(name, "tag:yaml.org,2002:seq") != 0)
        return refuse(b, "a tag that is not !!str, !!map or !!seq");
    return 0;
}

/* Return: as obs_yaml_parse(). */
static int add_plain(struct builder *b, const char *text, json_t **ret_node)
{
    int r = obs_yaml_scalar(text, ret_node);

    if (r == OBS_YAML_SCALAR_RANGE)
        return refuse(b, "the number is out of range: quote it if it is text");
    if (r == OBS_YAML_SCALAR_NOT_FINITE)
        return refuse(b, "infinity and NaN are not accepted: quote it if it is text");
    return r;
}

static int add_key(struct builder *b, struct level *level, char *text)
{
    if (json_object_get(level->node, text)) {
        free(text);
        return refuse(b, "the key is there twice");
    }
    level->key = text;
    return 0;
}

static int add_scalar(struct builder *b)
{
    struct fy_token *token = fy_event_get_token((struct fy_event *)b->event);
    struct level *level = b->depth ? &b->levels[b->depth - 1] : NULL;
    OBS_CLEANUP(obs_freep) char *text = NULL;
    OBS_CLEANUP(obs_freep) char *anchor = NULL;
    json_t *node = NULL;
    bool is_text;
    int r = wants_text(b, !token || fy_token_scalar_style(token) == FYSS_PLAIN, &is_text);

    if (r != 0)
        return r;
    text = token_text(b, token, &r);
    if (!text)
        return r;
    if (level && json_is_object(level->node) && !level->key)
        return add_key(b, level, OBS_TAKE(text));
    if (++b->nodes > NODES_MAX)
        return refuse(b, "more than 10000 nodes");
    anchor = event_anchor(b, &r);
    if (r != 0)
        return r;
    if (!is_text)
        r = add_plain(b, text, &node);
    else if (!(node = json_string(text)))
        r = -ENOMEM;
    if (r == 0 && anchor) {
        r = keep_anchor(b, OBS_TAKE(anchor), node);
        if (r != 0)
            json_decref(node);
    }
    return r != 0 ? r : add_node(b, node);
}

static int add_alias(struct builder *b)
{
    OBS_CLEANUP(obs_freep) char *name = NULL;
    int r = 0;

    name = token_text(b, fy_event_get_token((struct fy_event *)b->event), &r);
    if (!name)
        return r;
    for (unsigned i = b->anchor_count; i-- > 0;) { /* the latest of that name */
        json_t *node = b->anchors[i].node, *copy;

        if (strcmp(b->anchors[i].name, name) != 0)
            continue;
        r = count_nodes(b, node);
        if (r == 0 && b->depth + depth_of(node) > DEPTH_MAX)
            r = refuse(b, "more than 64 levels of nesting");
        if (r != 0)
            return r;
        copy = json_deep_copy(node);
        return copy ? add_node(b, copy) : -ENOMEM;
    }
    return refuse(b, "the alias has no anchor before it");
}

static int end_document(struct builder *b)
{
    json_t *root = b->root ? b->root : json_null();

    b->root = NULL;
    drop_anchors(b);
    if (++b->nodes > NODES_MAX) { /* empty documents count too */
        json_decref(root);
        return refuse(b, "more than 10000 nodes");
    }
    return json_array_append_new(b->documents, root) < 0 ? -ENOMEM : 0;
}

static int take_event(struct builder *b)
{
    bool is_text;
    int r;

    switch (b->event->type) {
    case FYET_SCALAR:
        return add_scalar(b);
    case FYET_ALIAS:
        return add_alias(b);
    case FYET_MAPPING_START:
    case FYET_SEQUENCE_START:
        r = wants_text(b, true, &is_text);
        if (r != 0)
            return r;
        return open_node(b, b->event->type == FYET_MAPPING_START ? json_object() : json_array());
    case FYET_MAPPING_END:
    case FYET_SEQUENCE_END:
        return close_node(b);
    case FYET_DOCUMENT_END:
        return end_document(b);
    default:
        return 0;
    }
}

static void builder_done(struct builder *b)
{
    for (unsigned i = 0; i < b->depth; i++) {
        free(b->levels[i].key);
        free(b->levels[i].anchor);
    }
    drop_anchors(b);
    json_decref(b->root);
    json_decref(b->documents);
}

/* What libfyaml found wrong first. */
static int refuse_syntax(struct fy_diag *diag, struct obs_reason *reason)
{
    void *at = NULL;
    const struct fy_diag_error *error = fy_diag_errors_iterate(diag, &at);

    if (error)
        obs_reason_set_at(reason, error->line > 0 ? (unsigned)error->line : 1,
                          error->column > 0 ? (unsigned)error->column : 1, "not valid YAML: %s",
                          error->msg ? error->msg : "syntax error");
    else
        obs_reason_set_at(reason, 1, 1, "not valid YAML");
    return OBS_JSON_REFUSED;
}

static int read_events(struct fy_parser *parser, struct fy_diag *diag, struct builder *b)
{
    struct fy_event *event;
    bool is_end = false;
    int r = 0;

    while (r == 0 && !is_end && (event = fy_parser_parse(parser))) {
        b->event = event;
        is_end = event->type == FYET_STREAM_END;
        r = take_event(b);
        fy_parser_event_free(parser, event);
    }
    return r == 0 && !is_end ? refuse_syntax(diag, b->reason) : r;
}

/* libfyaml passes over bytes that are not UTF-8 in some places. Return: as obs_yaml_parse(). */
static int check_bytes(const char *text, size_t size, struct obs_reason *reterr_reason)
{
    unsigned line = 1;
    size_t length;

    for (size_t at = 0; at < size; at += length) {
        length = obs_text_utf8_length(text + at, size - at);
        if (length == 0 || text[at] == '\0') {
            obs_reason_set_at(reterr_reason, line, 0, "not valid YAML: %s",
                              length ? "a NUL byte" : "bytes that are not UTF-8");
            return OBS_JSON_REFUSED;
        }
        line += text[at] == '\n';
    }
    return 0;
}

int obs_yaml_parse(const char *text, size_t size, json_t **ret_documents,
                   struct obs_reason *reterr_reason)
{
    struct builder b = {.reason = reterr_reason};
    struct fy_parse_cfg config = {.search_path = "", .flags = FYPCF_QUIET};
    struct fy_diag *diag;
    struct fy_parser *parser;
    int r = check_bytes(text, size, reterr_reason);

    if (r != 0)
        return r;
    r = -ENOMEM;
    b.documents = json_array();
    config.diag = diag = fy_diag_create(NULL);

    if (diag)
        fy_diag_set_collect_errors(diag, true);
    parser = diag ? fy_parser_create(&config) : NULL;
    if (parser && b.documents && fy_parser_set_string(parser, size ? text : "", size) == 0)
        r = read_events(parser, diag, &b);
    if (r == 0)
        *ret_documents = OBS_TAKE(b.documents);
    if (parser)
        fy_parser_destroy(parser);
    if (diag)
        fy_diag_destroy(diag);
    builder_done(&b);
    return r;
}
