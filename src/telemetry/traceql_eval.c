/* Evaluator: an expression on one span, or on a spanset where it aggregates. */
#include "telemetry/traceql_eval.h"

#include "base/clock.h"
#include "telemetry/regex.h"
#include <ctype.h>
#include <errno.h>
#include <math.h>

static const struct traceql_value NOTHING = {.type = TRACEQL_NIL};

static struct traceql_value of_bool(bool value)
{
    return (struct traceql_value){.type = TRACEQL_BOOL, .is.boolean = value};
}

static struct traceql_value of_number(double value)
{
    return (struct traceql_value){.type = TRACEQL_FLOAT, .is.number = value};
}

static bool is_true(const struct traceql_node *node, struct traceql_context *context)
{
    struct traceql_value value = traceql_evaluate(node, context);

    return value.type == TRACEQL_BOOL && value.is.boolean;
}

static bool is_nil(const struct traceql_node *node)
{
    return node->kind == TRACEQL_VALUE && node->is.value.type == TRACEQL_NIL;
}

static struct traceql_value evaluate_comparison(const struct traceql_node *node,
                                                struct traceql_context *context)
{
    struct traceql_value a = traceql_evaluate(node->a, context), b;

    if (node->op == TRACEQL_OP_REGEX || node->op == TRACEQL_OP_NOT_REGEX) {
        if (a.type != TRACEQL_STRING)
            return of_bool(false);
        return of_bool(regex_matches(node->regex, a.is.text) == (node->op == TRACEQL_OP_REGEX));
    }
    b = traceql_evaluate(node->b, context);
    if (is_nil(node->a) || is_nil(node->b))
        return of_bool((a.type == b.type) == (node->op == TRACEQL_OP_EQUAL));
    return of_bool(traceql_value_test(node->op, &a, &b));
}

static bool compute_whole(enum traceql_op op, int64_t a, int64_t b, int64_t *ret_value)
{
    switch (op) {
    case TRACEQL_OP_ADD:
        return !__builtin_add_overflow(a, b, ret_value);
    case TRACEQL_OP_SUBTRACT:
        return !__builtin_sub_overflow(a, b, ret_value);
    case TRACEQL_OP_MULTIPLY:
        return !__builtin_mul_overflow(a, b, ret_value);
    case TRACEQL_OP_MODULO:
        if (b == 0 || b == -1)
            return false;
        *ret_value = a % b;
        return true;
    default: /* 5 / 2 is 2.5 */
        return false;
    }
}

static double compute(enum traceql_op op, double a, double b)
{
    switch (op) {
    case TRACEQL_OP_ADD:
        return a + b;
    case TRACEQL_OP_SUBTRACT:
        return a - b;
    case TRACEQL_OP_MULTIPLY:
        return a * b;
    case TRACEQL_OP_DIVIDE:
        return b == 0 ? NAN : a / b; /* NaN compares with nothing */
    case TRACEQL_OP_MODULO:
        return b == 0 ? NAN : fmod(a, b);
    default:
        return pow(a, b);
    }
}

static struct traceql_value evaluate_arithmetic(const struct traceql_node *node,
                                                struct traceql_context *context)
{
    struct traceql_value a = traceql_evaluate(node->a, context);
    struct traceql_value b = traceql_evaluate(node->b, context);
    int64_t whole;
    double x, y;

    if (!traceql_value_number(&a, &x) || !traceql_value_number(&b, &y))
        return NOTHING;
    if (a.type != TRACEQL_FLOAT && b.type != TRACEQL_FLOAT &&
        compute_whole(node->op, a.is.integer, b.is.integer, &whole))
        return (struct traceql_value){
            .type = a.type == TRACEQL_DURATION || b.type == TRACEQL_DURATION ? TRACEQL_DURATION
                                                                             : TRACEQL_INT,
            .is.integer = whole};
    return of_number(compute(node->op, x, y));
}

static struct traceql_value evaluate_binary(const struct traceql_node *node,
                                            struct traceql_context *context)
{
    if (node->op == TRACEQL_OP_AND)
        return of_bool(is_true(node->a, context) && is_true(node->b, context));
    if (node->op == TRACEQL_OP_OR)
        return of_bool(is_true(node->a, context) || is_true(node->b, context));
    return node->op <= TRACEQL_OP_NOT_REGEX ? evaluate_comparison(node, context)
                                            : evaluate_arithmetic(node, context);
}

static struct traceql_value evaluate_unary(const struct traceql_node *node,
                                           struct traceql_context *context)
{
    struct traceql_value value = traceql_evaluate(node->a, context);

    if (node->op == TRACEQL_OP_NOT)
        return value.type == TRACEQL_BOOL ? of_bool(!value.is.boolean) : NOTHING;
    if (value.type == TRACEQL_FLOAT)
        return of_number(-value.is.number);
    if (value.type != TRACEQL_INT && value.type != TRACEQL_DURATION)
        return NOTHING;
    value.is.integer = value.is.integer == INT64_MIN ? INT64_MAX : -value.is.integer;
    return value;
}

/* ---- aggregates ---- */

struct sum {
    double total, least, most;
    uint32_t count;
    bool is_duration, is_whole;
};

static void sum_add(struct sum *sum, const struct traceql_value *value)
{
    double number;

    if (!traceql_value_number(value, &number))
        return;
    if (sum->count == 0 || number < sum->least)
        sum->least = number;
    if (sum->count == 0 || number > sum->most)
        sum->most = number;
    sum->is_duration = (sum->count == 0 || sum->is_duration) && value->type == TRACEQL_DURATION;
    sum->is_whole = (sum->count == 0 || sum->is_whole) && value->type != TRACEQL_FLOAT;
    sum->total += number;
    sum->count++;
}

static struct traceql_value of_sum(const struct sum *sum, enum traceql_op op)
{
    double number = op == TRACEQL_OP_AVG   ? sum->total / sum->count
                    : op == TRACEQL_OP_MAX ? sum->most
                    : op == TRACEQL_OP_MIN ? sum->least
                                           : sum->total;
    bool is_whole = sum->is_duration || (sum->is_whole && op != TRACEQL_OP_AVG);

    if (!is_whole || !(fabs(number) < 9e18))
        return of_number(number);
    return (struct traceql_value){.type = sum->is_duration ? TRACEQL_DURATION : TRACEQL_INT,
                                  .is.integer = (int64_t)number};
}

static struct traceql_value evaluate_aggregate(const struct traceql_node *node,
                                               const struct traceql_context *context)
{
    const struct traceql_spanset *spanset = context->spanset;
    struct sum sum = {0};

    if (node->op == TRACEQL_OP_COUNT)
        return (struct traceql_value){.type = TRACEQL_INT, .is.integer = spanset->count};
    for (uint32_t i = 0; i < spanset->count; i++) {
        uint32_t index = spanset->spans[i];
        struct traceql_context of_span = {
            .view = context->trace->spans[index].view, .trace = context->trace, .index = index};
        struct traceql_value value = traceql_evaluate(node->a, &of_span);

        sum_add(&sum, &value);
    }
    return sum.count > 0 ? of_sum(&sum, node->op) : NOTHING;
}

/* ---- */

/* For the search by tags: case-insensitive in ASCII. */
static bool contains(struct text_view text, struct text_view part)
{
    for (size_t i = 0; i + part.size <= text.size; i++) {
        size_t j = 0;

        while (j < part.size &&
               tolower((unsigned char)text.text[i + j]) == tolower((unsigned char)part.text[j]))
            j++;
        if (j == part.size)
            return true;
    }
    return false;
}

static struct traceql_value evaluate_contains(const struct traceql_node *node,
                                              struct traceql_context *context)
{
    struct traceql_value value = traceql_evaluate(node->a, context);
    char text[TRACEQL_TEXT_SIZE];

    if (value.type == TRACEQL_NIL)
        return of_bool(false);
    return of_bool(contains(traceql_value_text(&value, text), node->is.value.is.text));
}

struct traceql_value traceql_evaluate(const struct traceql_node *node,
                                      struct traceql_context *context)
{
    switch (node->kind) {
    case TRACEQL_VALUE:
        return node->is.value;
    case TRACEQL_FIELD:
        return traceql_field_value(&node->is.field, context->view, context->trace, context->index,
                                   context->hex[context->hex_turn++ % 2]);
    case TRACEQL_UNARY:
        return evaluate_unary(node, context);
    case TRACEQL_BINARY:
        return evaluate_binary(node, context);
    case TRACEQL_AGGREGATE:
        return evaluate_aggregate(node, context);
    case TRACEQL_CONTAINS:
        return evaluate_contains(node, context);
    default:
        return NOTHING;
    }
}

struct traceql_spanset *traceql_filter(struct traceql_execution *x, const struct traceql_node *node,
                                       const struct traceql_spanset *input)
{
    struct traceql_spanset *output = traceql_spanset_new(x, input->count);

    for (uint32_t i = 0; output && i < input->count; i++) {
        uint32_t index = input->spans[i];
        struct traceql_context context = {
            .view = x->trace->spans[index].view, .trace = x->trace, .index = index};

        if (i % 64 == 63 && x->deadline_ns != 0 && obs_mono_ns() > x->deadline_ns) {
            x->error = TRACEQL_TIMEOUT;
            return NULL;
        }
        if (!node->a || is_true(node->a, &context))
            output->spans[output->count++] = index;
    }
    return output && output->count > 0 ? output : NULL;
}
