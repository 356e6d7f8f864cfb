/* The unit table: any bytes are a table or a refusal with a line. */
#include "agent/unit.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* As fuzz_yaml.c says. */
const char *__lsan_default_suppressions(void)
{
    return "leak:libfyaml";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    OBS_CLEANUP(variables_freep) struct variables *variables = NULL;
    OBS_CLEANUP(unit_table_freep) struct unit_table *table = NULL;
    struct obs_reason why = {0};
    int r = variables_new(NULL, &variables);

    if (r < 0 || variables_set(variables, "state", "/state", NULL) != 0)
        return 0;
    r = unit_table_parse((const char *)data, size, variables, &table, &why);
    if (r > 0 && (!why.text[0] || why.line == 0))
        abort();
    if (r == 0 && !table)
        abort();
    return 0;
}
