/* Progress: see progress.h. */
#include "cli/progress.h"

#include "base/clock.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define ROWS_MAX 400
#define WIDTH_MAX 240

struct row {
    char name[112]; /* tenant/unit */
    bool is_good;
};

struct progress {
    uint64_t began_ns;
    bool is_live, is_colourful, is_drawn;
    unsigned frame;
    struct row rows[ROWS_MAX];
    size_t count;
};

int progress_new(bool is_live, bool is_colourful, struct progress **ret_progress)
{
    struct progress *p = calloc(1, sizeof(*p));

    if (!p)
        return -ENOMEM;
    p->is_live = is_live;
    p->is_colourful = is_colourful;
    p->began_ns = obs_mono_ns();
    *ret_progress = p;
    return 0;
}

static void clear_line(struct progress *p)
{
    if (p->is_drawn)
        fputs("\r\033[K", stdout);
    p->is_drawn = false;
}

struct progress *progress_free(struct progress *p)
{
    if (p) {
        clear_line(p);
        fflush(stdout);
    }
    free(p);
    return NULL;
}

double progress_seconds(const struct progress *p)
{
    return (double)(obs_mono_ns() - p->began_ns) / 1e9;
}

static struct row *row_of(struct progress *p, const char *name)
{
    for (size_t i = 0; i < p->count; i++) {
        if (strcmp(p->rows[i].name, name) == 0)
            return &p->rows[i];
    }
    if (p->count == ROWS_MAX)
        return NULL;
    (void)snprintf(p->rows[p->count].name, sizeof(p->rows[0].name), "%s", name);
    return &p->rows[p->count++];
}

static void show_unit(struct progress *p, const char *tenant, const json_t *unit)
{
    const char *name = json_string_value(json_object_get(unit, "name"));
    const char *state = json_string_value(json_object_get(unit, "state"));
    const char *reason = json_string_value(json_object_get(unit, "reason"));
    bool is_good = json_is_true(json_object_get(unit, "ready"));
    bool is_bad = state && (strcmp(state, "failed") == 0 || strcmp(state, "backoff") == 0);
    char full[112];
    struct row *row;

    (void)snprintf(full, sizeof(full), "%s/%s", tenant, name ? name : "?");
    row = row_of(p, full);
    if (!row || row->is_good == is_good)
        return;
    clear_line(p);
    if (is_good)
        printf("  %s %-34s %6.1f s\n", p->is_colourful ? "\033[32m✓\033[0m" : "✓", full,
               progress_seconds(p));
    else if (is_bad)
        printf("  %s %-34s %6.1f s  %s: %s\n", p->is_colourful ? "\033[31m✗\033[0m" : "✗", full,
               progress_seconds(p), state, reason ? reason : "");
    row->is_good = is_good;
}

void progress_show(struct progress *p, const char *tenant, const json_t *status)
{
    size_t i;
    json_t *unit;

    json_array_foreach (json_object_get(status, "units"), i, unit)
        show_unit(p, tenant, unit);
}

static unsigned terminal_width(void)
{
    struct winsize size = {0};

    if (ioctl(1, TIOCGWINSZ, &size) < 0 || size.ws_col < 20)
        return 80;
    return size.ws_col < WIDTH_MAX ? size.ws_col : WIDTH_MAX;
}

void progress_tick(struct progress *p)
{
    static const char FRAMES[] = "|/-\\";
    char line[WIDTH_MAX + 1];
    size_t used = 0;
    int n;

    if (!p->is_live) {
        fflush(stdout);
        return;
    }
    clear_line(p);
    n = snprintf(line, sizeof(line), "  %c %.1f s  waiting for", FRAMES[p->frame++ % 4],
                 progress_seconds(p));
    used = (size_t)n;
    for (size_t i = 0; i < p->count && used < sizeof(line); i++) {
        if (!p->rows[i].is_good)
            used += (size_t)snprintf(line + used, sizeof(line) - used, " %s",
                                     strchr(p->rows[i].name, '/') + 1);
    }
    printf("%.*s", (int)terminal_width() - 1, line);
    p->is_drawn = true;
    fflush(stdout);
}
