#include "load/report.h"
#include <math.h>
#include <string.h>

#define ROWS_MAX 24
#define WIDTH 50

/* Row bounds: 1, 1.5, 2, 3, 5, 7 and so on in every power of ten, so that each row is a similar
 * step in the logarithm. */
static double next_bound(double ns)
{
    static const double steps[] = {1, 1.5, 2, 3, 5, 7, 10};
    double power = pow(10, floor(log10(ns) + 1e-9));

    for (size_t i = 0; i < OBS_COUNT(steps); i++)
        if (ns < steps[i] * power * (1 - 1e-9))
            return steps[i] * power;
    return 1.5 * power * 10;
}

static double bound_below(double ns)
{
    double bound = pow(10, floor(log10(ns > 1 ? ns : 1)));

    for (double next = next_bound(bound); next <= ns; next = next_bound(next))
        bound = next;
    return bound;
}

static void print_bar(double share, bool is_utf8, FILE *out)
{
    static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    int units = (int)lround(share * WIDTH * 8);

    if (!is_utf8) {
        for (int i = 0; i < (units + 4) / 8; i++)
            fputc('#', out);
        return;
    }
    for (int i = 0; i < units / 8; i++)
        fputs("█", out);
    fputs(units > 0 || share <= 0 ? eighths[units % 8] : eighths[1], out);
}

struct row {
    double from_ns, to_ns, count;
};

/* Returns the number of rows; the last one takes all the rest. */
static size_t fill_rows(const json_t *histogram, struct row *rows)
{
    double first = json_number_value(json_array_get(json_array_get(histogram, 0), 0));
    double from = bound_below(first);
    size_t count = 0, i;
    const json_t *part;

    rows[0] = (struct row){from, next_bound(from), 0};
    json_array_foreach (histogram, i, part) {
        double ns = json_number_value(json_array_get(part, 0));

        while (ns >= rows[count].to_ns && count + 1 < ROWS_MAX) {
            from = rows[count].to_ns;
            rows[++count] = (struct row){from, next_bound(from), 0};
        }
        if (ns >= rows[count].to_ns)
            rows[count].to_ns = INFINITY;
        rows[count].count += json_number_value(json_array_get(part, 1));
    }
    return count + 1;
}

void chart_print(const json_t *histogram, bool is_utf8, FILE *out)
{
    struct row rows[ROWS_MAX];
    double sum = 0, most = 0, seen = 0;
    size_t count;

    if (json_array_size(histogram) == 0)
        return;
    count = fill_rows(histogram, rows);
    for (size_t i = 0; i < count; i++) {
        sum += rows[i].count;
        most = rows[i].count > most ? rows[i].count : most;
    }
    fprintf(out, "%11s %9s %9s\n", "up to", "share", "so far");
    for (size_t i = 0; i < count; i++) {
        char bound[24] = "more";

        if (!isinf(rows[i].to_ns))
            report_duration(rows[i].to_ns / 1e6, bound);
        seen += rows[i].count;
        fprintf(out, "%11s %8.3f%% %8.3f%% ", bound, 100 * rows[i].count / sum, 100 * seen / sum);
        print_bar(rows[i].count / most, is_utf8, out);
        fputc('\n', out);
    }
}
