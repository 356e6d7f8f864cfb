#pragma once
/*
 * Arguments: one table gives a program's flags, their environment variables, `--help` and the
 * reference page.
 *
 * `--name VALUE` or `--name=VALUE`; a flag beats its environment variable, which beats the default.
 * Switches (is_switch) take no value; in the environment they are true, 1, false or 0. An empty
 * environment variable counts as unset. A value that begins with `--` needs the `=` form. The last
 * of several equal flags wins. `--help` and `--version` are always there.
 */
#include "base/reason.h"
#include <stdbool.h>
#include <stddef.h>

struct obs_arg {
    const char *name;        /* "listen", for --listen */
    const char *environment; /* "OTEL_SERVICE_NAME"; NULL for none */
    const char *standard;    /* default; NULL: required, "" : optional and empty */
    const char *value_name;  /* "ADDRESS", for --help */
    const char *meaning;
    bool is_switch; /* value is "true" or "" */
};

enum obs_args_outcome {
    OBS_ARGS_OK = 0,
    OBS_ARGS_REFUSED = 1, /* reason names the flag and what would be right */
    OBS_ARGS_HELP = 2,    /* help or version was printed to standard output: exit 0 */
};

/**
 * obs_args_parse() - read flags and environment into values[count], in table order
 * @program, summary: for --help
 * @values: borrowed from argv, the environment or the table
 * @ret_rest: index in argv of the first word that is not a flag (argc when none); words after `--`
 *            are never flags. NULL: such words are refused.
 */
int obs_args_parse(const char *program, const char *summary, const struct obs_arg *args,
                   size_t count, int argc, char *argv[], const char **values, int *ret_rest,
                   struct obs_reason *reterr_reason);
