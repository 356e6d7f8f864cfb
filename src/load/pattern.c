#include "load/pattern.h"
#include "load/pattern_internal.h"
#include <errno.h>
#include <math.h>
#include <string.h>

struct pattern *pattern_ref(struct pattern *p)
{
    __atomic_add_fetch(&p->references, 1, __ATOMIC_RELAXED);
    return p;
}

struct pattern *pattern_free(struct pattern *p)
{
    if (!p || __atomic_sub_fetch(&p->references, 1, __ATOMIC_ACQ_REL) > 0)
        return NULL;
    json_decref(p->json);
    free(p->pieces);
    free(p->arrivals_s);
    free(p);
    return NULL;
}

int pattern_new(enum pattern_shape shape, struct pattern **ret_pattern)
{
    struct pattern *p = calloc(1, sizeof(*p));

    if (!p)
        return -ENOMEM;
    p->shape = shape;
    p->references = 1;
    p->length_s = p->cycle_s = INFINITY;
    *ret_pattern = p;
    return 0;
}

int pattern_add_piece(struct pattern *p, double length_s, double rate, double end_rate)
{
    struct piece *last, *grown = reallocarray(p->pieces, p->piece_count + 1, sizeof(*grown));

    if (!grown)
        return -ENOMEM;
    p->pieces = grown;
    grown[p->piece_count] =
        (struct piece){.length_s = length_s, .rate = rate, .end_rate = end_rate};
    if (p->piece_count > 0) {
        last = &grown[p->piece_count - 1];
        grown[p->piece_count].start_s = last->start_s + last->length_s;
        grown[p->piece_count].count =
            last->count + last->length_s * (last->rate + last->end_rate) / 2;
    }
    p->piece_count++;
    return 0;
}

const json_t *pattern_json(const struct pattern *p)
{
    return p->json;
}

double pattern_length(const struct pattern *p)
{
    return p->length_s;
}

static const struct piece *piece_at(const struct pattern *p, double t_s)
{
    const struct piece *piece = p->pieces;

    while (piece + 1 < p->pieces + p->piece_count && t_s >= piece[1].start_s)
        piece++;
    return piece;
}

static double piece_rate(const struct piece *piece, double t_s)
{
    if (isinf(piece->length_s) || piece->rate == piece->end_rate)
        return piece->rate;
    return piece->rate + (piece->end_rate - piece->rate) * (t_s / piece->length_s);
}

/* Arrivals of @piece in its first @t_s seconds. */
static double piece_count(const struct piece *piece, double t_s)
{
    return t_s <= 0 ? 0 : t_s * (piece->rate + piece_rate(piece, t_s)) / 2;
}

static double pieces_count(const struct pattern *p, double t_s)
{
    const struct piece *piece = piece_at(p, t_s);

    return piece->count + piece_count(piece, t_s - piece->start_s);
}

static double list_count(const struct pattern *p, double t_s)
{
    size_t low = 0, high = p->arrival_count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (p->arrivals_s[middle] < t_s)
            low = middle + 1;
        else
            high = middle;
    }
    return (double)low;
}

static double sine_count(const struct pattern *p, double t_s)
{
    double turn = 2 * M_PI / p->period_s;

    return p->rate * t_s + p->amplitude / turn * (1 - cos(turn * t_s));
}

static double cycle_count(const struct pattern *p, double t_s)
{
    return p->shape == SHAPE_LIST ? list_count(p, t_s) : pieces_count(p, t_s);
}

double pattern_count(const struct pattern *p, double t_s)
{
    double cycles;

    if (p->shape == SHAPE_SINE)
        return sine_count(p, t_s);
    if (isinf(p->cycle_s))
        return cycle_count(p, t_s);
    cycles = floor(t_s / p->cycle_s);
    return cycles * cycle_count(p, p->cycle_s) + cycle_count(p, t_s - cycles * p->cycle_s);
}

double pattern_rate(const struct pattern *p, double t_s)
{
    const struct piece *piece;
    double half_s = 0.5;

    if (t_s >= p->length_s)
        return 0;
    if (p->shape == SHAPE_SINE)
        return p->rate + p->amplitude * sin(2 * M_PI / p->period_s * t_s);
    if (p->shape == SHAPE_LIST) /* a list has no rate at a point: the second around it */
        return pattern_count(p, t_s + half_s) - pattern_count(p, t_s > half_s ? t_s - half_s : 0);
    if (!isinf(p->cycle_s))
        t_s = fmod(t_s, p->cycle_s);
    piece = piece_at(p, t_s);
    return piece_rate(piece, t_s - piece->start_s);
}

/* When @piece has had @count arrivals, from its start: rate*t + slope*t^2/2 = count. */
static double piece_time(const struct piece *piece, double count)
{
    double slope, root;

    if (isinf(piece->length_s) || piece->rate == piece->end_rate)
        return count <= 0 ? 0 : piece->rate > 0 ? count / piece->rate : INFINITY;
    slope = (piece->end_rate - piece->rate) / piece->length_s;
    root = piece->rate * piece->rate + 2 * slope * count;
    /* The form without cancellation, which also serves rate 0. */
    return count <= 0 ? 0 : 2 * count / (piece->rate + sqrt(root > 0 ? root : 0));
}

static double pieces_time(const struct pattern *p, double count)
{
    const struct piece *piece = p->pieces, *end = piece + p->piece_count;

    while (piece + 1 < end && count >= piece[1].count)
        piece++;
    return piece->start_s + piece_time(piece, count - piece->count);
}

static double list_time(const struct pattern *p, double count)
{
    return count < (double)p->arrival_count ? p->arrivals_s[(size_t)count] : INFINITY;
}

static double sine_time(const struct pattern *p, double count)
{
    double per_period = p->rate * p->period_s;
    double periods = floor(count / per_period), rest = count - periods * per_period;
    double low = 0, high = p->period_s, t_s = rest / p->rate;

    for (int i = 0; i < 60 && high - low > 1e-10; i++) {
        double excess = sine_count(p, t_s) - rest;
        double rate = p->rate + p->amplitude * sin(2 * M_PI / p->period_s * t_s);
        double next;

        if (fabs(excess) < 1e-9)
            break;
        if (excess > 0)
            high = t_s;
        else
            low = t_s;
        next = rate > 0 ? t_s - excess / rate : low;
        t_s = next > low && next < high ? next : (low + high) / 2;
    }
    return periods * p->period_s + t_s;
}

double pattern_time(const struct pattern *p, double count)
{
    double per_cycle, cycles;

    if (p->shape == SHAPE_SINE)
        return sine_time(p, count);
    if (isinf(p->cycle_s))
        return p->shape == SHAPE_LIST ? list_time(p, count) : pieces_time(p, count);
    per_cycle = cycle_count(p, p->cycle_s);
    if (per_cycle <= 0)
        return INFINITY;
    cycles = floor(count / per_cycle);
    count -= cycles * per_cycle;
    return cycles * p->cycle_s +
           (p->shape == SHAPE_LIST ? list_time(p, count) : pieces_time(p, count));
}
