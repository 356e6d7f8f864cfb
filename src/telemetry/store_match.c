/* Does a span or a stream fit? What the hints and matchers of store.h mean, in one place. */
#include "telemetry/store_internal.h"

static bool as_number(const struct value *value, double *ret_number)
{
    if (value->type == VALUE_INT)
        *ret_number = (double)value->is.integer;
    else if (value->type == VALUE_DOUBLE)
        *ret_number = value->is.number;
    else
        return false;
    return true;
}

bool value_equal(const struct value *a, const struct value *b)
{
    double x, y;

    if (a->type == VALUE_INT && b->type == VALUE_INT)
        return a->is.integer == b->is.integer;
    if (as_number(a, &x) && as_number(b, &y))
        return x >= y && x <= y;
    if (a->type != b->type)
        return false;
    return a->type == VALUE_TEXT ? text_equal(a->is.text, b->is.text)
                                 : a->is.boolean == b->is.boolean;
}

static bool has_equal(const struct attribute *attributes, size_t count,
                      const struct attribute *wanted)
{
    for (size_t i = 0; i < count; i++)
        if (text_equal(attributes[i].name, wanted->name) &&
            value_equal(&attributes[i].value, &wanted->value))
            return true;
    return false;
}

bool times_fit(uint64_t start_ns, uint64_t end_ns, const struct span_hints *hints)
{
    uint64_t duration_ns = end_ns > start_ns ? end_ns - start_ns : 0;

    return start_ns < hints->until_ns &&
           (end_ns > start_ns ? end_ns : start_ns) >= hints->from_ns &&
           duration_ns >= hints->duration_min_ns &&
           (hints->duration_max_ns == 0 || duration_ns <= hints->duration_max_ns);
}

bool span_fits(const struct span_view *span, const struct span_hints *hints)
{
    return (hints->service.size == 0 || text_equal(span->service, hints->service)) &&
           (hints->name.size == 0 || text_equal(span->name, hints->name)) &&
           (hints->equals.name.size == 0 ||
            has_equal(span->attributes, span->attribute_count, &hints->equals) ||
            has_equal(span->resource, span->resource_count, &hints->equals));
}

static struct text_view label_value(const struct label *labels, size_t count, struct text_view name)
{
    for (size_t i = 0; i < count; i++)
        if (text_equal(labels[i].name, name))
            return labels[i].value;
    return (struct text_view){"", 0};
}

bool labels_fit(const struct label *labels, size_t count, const struct line_query *query)
{
    for (size_t i = 0; i < query->matcher_count; i++) {
        const struct matcher *matcher = &query->matchers[i];
        struct text_view value = label_value(labels, count, matcher->name);
        bool is_negative = matcher->op == MATCH_NOT_EQUAL || matcher->op == MATCH_NOT_REGEX;
        bool fits = matcher->op == MATCH_EQUAL || matcher->op == MATCH_NOT_EQUAL
                        ? text_equal(value, matcher->value)
                        : query->regex_matches(matcher->regex, value);

        if (fits == is_negative)
            return false;
    }
    return true;
}
