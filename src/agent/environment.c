/* What a unit's process finds in its environment: little, and nothing of the agent's own. */
#include "agent/supervised.h"

#include "agent/ledger.h"
#include "base/file.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ENVIRONMENT_FILE_MAX 65536

static int add(char **environment, size_t *count, const char *name, const char *value)
{
    size_t size = strlen(name);
    char *entry, **at = environment;

    if (asprintf(&entry, "%s=%s", name, value) < 0)
        return -ENOMEM;
    while (*at && (strncmp(*at, name, size) != 0 || (*at)[size] != '='))
        at++;
    free(*at);
    *count += !*at;
    *at = entry;
    return 0;
}

static int add_file(char **environment, size_t *count, const struct unit_environment *e,
                    struct obs_reason *reterr_reason)
{
    struct obs_buffer b = OBS_BUFFER_INIT(ENVIRONMENT_FILE_MAX);
    int r = obs_file_read(e->file, &b);

    if (r < 0) {
        obs_reason_set(reterr_reason, "cannot read %s for %s: %s", e->file, e->name, strerror(-r));
    } else {
        if (b.size > 0 && b.data[b.size - 1] == '\n')
            b.data[b.size - 1] = '\0';
        r = add(environment, count, e->name, b.data ? b.data : "");
    }
    obs_buffer_done(&b);
    return r;
}

int environment_new(const struct unit *unit, const char *state_path, char ***ret_environment,
                    struct obs_reason *reterr_reason)
{
    /* Where telemetry goes is said once, to the first agent, and holds for all below it. */
    static const char *const INHERITED[] = {"PATH",
                                            "LANG",
                                            "TZ",
                                            "TMPDIR",
                                            "OTEL_EXPORTER_OTLP_ENDPOINT",
                                            "OTEL_EXPORTER_OTLP_HEADERS",
                                            "OTEL_RESOURCE_ATTRIBUTES",
                                            "OBSERVA_LOGS_ENDPOINT",
                                            "OBSERVA_PROFILES_ENDPOINT"};
    char **environment = calloc(unit->environment_count + OBS_COUNT(INHERITED) + 3, sizeof(char *));
    size_t count = 0;
    int r = environment ? add(environment, &count, "HOME", state_path) : -ENOMEM;

    if (r == 0)
        r = add(environment, &count, LEDGER_MARK, state_path);
    for (size_t i = 0; i < OBS_COUNT(INHERITED) && r == 0; i++)
        if (getenv(INHERITED[i]))
            r = add(environment, &count, INHERITED[i], getenv(INHERITED[i]));
    for (size_t i = 0; i < unit->environment_count && r == 0; i++) {
        const struct unit_environment *e = &unit->environment[i];

        r = e->file ? add_file(environment, &count, e, reterr_reason)
                    : add(environment, &count, e->name, e->value);
    }
    if (r < 0) {
        environment_free(environment);
        return r;
    }
    *ret_environment = environment;
    return 0;
}

char **environment_free(char **environment)
{
    for (char **e = environment; e && *e; e++)
        free(*e);
    free(environment);
    return NULL;
}
