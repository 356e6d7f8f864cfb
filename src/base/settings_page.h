#pragma once
/* Settings page: a schema as a section of Markdown, for the reference in docs/settings.md. */
#include "base/settings.h"
#include <stdio.h>

/* Return: 0, -EIO. */
int obs_settings_page(const struct obs_settings_schema *schema, FILE *out);
