#include "telemetry/logql_labels.h"
#include <stdlib.h>
#include <string.h>

static struct text_view view(const char *text)
{
    return (struct text_view){text, strlen(text)};
}

int logql_text_compare(struct text_view a, struct text_view b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int order = size > 0 ? memcmp(a.text, b.text, size) : 0;

    return order ? order : (a.size > b.size) - (a.size < b.size);
}

static bool is_error(struct text_view name)
{
    return text_equal(name, view(LOGQL_ERROR));
}

static void add(struct logql_labels *labels, const struct label *from, size_t count,
                enum logql_label_kind kind)
{
    for (size_t i = 0; i < count; i++) {
        if (kind == LABEL_STREAM && from[i].value.size > 0 && labels->count < LOGQL_LABELS_MAX)
            labels->entries[labels->count++] =
                (struct logql_entry){from[i].name, from[i].value, kind};
        else if (kind != LABEL_STREAM && !logql_labels_find(labels, from[i].name))
            logql_labels_set(labels, from[i].name, from[i].value, kind);
    }
}

void logql_labels_start(struct logql_labels *labels, const struct line_view *line)
{
    labels->count = 0;
    labels->has_error = false;
    labels->line = line;
    add(labels, line->labels, line->label_count, LABEL_STREAM);
    add(labels, line->metadata, line->metadata_count, LABEL_METADATA);
}

const struct logql_entry *logql_labels_find(const struct logql_labels *labels,
                                            struct text_view name)
{
    for (size_t i = 0; i < labels->count; i++)
        if (text_equal(labels->entries[i].name, name))
            return &labels->entries[i];
    return NULL;
}

struct text_view logql_labels_get(const struct logql_labels *labels, struct text_view name)
{
    const struct logql_entry *entry = logql_labels_find(labels, name);

    return entry ? entry->value : (struct text_view){"", 0};
}

bool logql_labels_set(struct logql_labels *labels, struct text_view name, struct text_view value,
                      enum logql_label_kind kind)
{
    struct logql_entry *entry = (struct logql_entry *)logql_labels_find(labels, name);

    if (value.size == 0) {
        logql_labels_remove(labels, name);
        return true;
    }
    if (!entry) {
        if (labels->count == LOGQL_LABELS_MAX)
            return false;
        entry = &labels->entries[labels->count++];
    }
    *entry = (struct logql_entry){name, value, kind};
    if (is_error(name))
        labels->has_error = true;
    return true;
}

void logql_labels_remove(struct logql_labels *labels, struct text_view name)
{
    struct logql_entry *entry = (struct logql_entry *)logql_labels_find(labels, name);

    if (!entry)
        return;
    *entry = labels->entries[--labels->count];
    if (is_error(name))
        labels->has_error = false;
}

bool logql_labels_in_stream(const struct logql_labels *labels, struct text_view name)
{
    for (size_t i = 0; i < labels->line->label_count; i++)
        if (text_equal(labels->line->labels[i].name, name))
            return true;
    return false;
}

void logql_labels_fail(struct logql_labels *labels, const char *type, const char *details)
{
    /* Full: the error takes the last place, since it must not be lost. */
    if (labels->count > LOGQL_LABELS_MAX - 2)
        labels->count = LOGQL_LABELS_MAX - 2;
    logql_labels_set(labels, view(LOGQL_ERROR), view(type), LABEL_PARSED);
    logql_labels_set(labels, view(LOGQL_ERROR_DETAILS), view(details), LABEL_PARSED);
}

static int by_name(const void *a, const void *b)
{
    return logql_text_compare(((const struct logql_entry *)a)->name,
                              ((const struct logql_entry *)b)->name);
}

void logql_labels_sort(struct logql_labels *labels)
{
    if (labels->count > 1)
        qsort(labels->entries, labels->count, sizeof(labels->entries[0]), by_name);
}
