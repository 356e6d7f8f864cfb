#include "base/settings_page.h"

#include <errno.h>
#include <string.h>

static void print_range(const struct obs_setting *row, FILE *out)
{
    switch (row->type) {
    case OBS_SETTING_BOOL:
        fputs("true or false", out);
        break;
    case OBS_SETTING_INT:
    case OBS_SETTING_NUMBER:
        fprintf(out, "%.15g to %.15g", row->minimum, row->maximum);
        break;
    case OBS_SETTING_CHOICE:
        for (const char *c = row->choices; *c; c++)
            *c == '|' ? fputs(", ", out) : fputc(*c, out);
        break;
    case OBS_SETTING_STRING:
        fputs("text", out);
        break;
    }
}

static void print_releases(const struct obs_settings_schema *schema, FILE *out)
{
    if (schema->release_count == 0)
        return;
    fprintf(out, "\nReleases:");
    for (size_t i = 0; i < schema->release_count; i++)
        fprintf(out, "%s %s", i > 0 ? "," : "", schema->releases[i].version);
    fprintf(out, ". Each has its own defaults; the table shows those of %s.\n",
            schema->rows[0].standard);
}

int obs_settings_page(const struct obs_settings_schema *schema, FILE *out)
{
    fprintf(out, "\n## %s\n\n| setting | default | accepted | unit | meaning |\n", schema->service);
    fprintf(out, "| --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < schema->row_count; i++) {
        const struct obs_setting *row = &schema->rows[i];

        fprintf(out, "| `%s` | %s | ", row->name, row->standard);
        print_range(row, out);
        fprintf(out, " | %s | %s%s |\n", row->unit ? row->unit : "", row->meaning,
                row->needs_restart ? " (after a restart)" : "");
    }
    print_releases(schema, out);
    return ferror(out) ? -EIO : 0;
}
