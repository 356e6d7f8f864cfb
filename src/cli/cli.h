#pragma once
/*
 * CLI: what every verb of `observa` gets, and the table of verbs.
 *
 * Exit status: 0 done; 1 it failed, or what was asked about is not well; 2 a wrong command line;
 * 3 nothing is running.
 */
#include "base/args.h"
#include "cli/paths.h"
#include <stdbool.h>

enum cli_exit { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_NOT_RUNNING = 3 };

struct cli {
    const struct cli_verb *verb;
    struct paths paths;
    const char **values; /* of the verb's own flags, in the order of its table */
    int word_count;
    char **words;
    bool is_json;
    bool is_colourful;
};

struct cli_verb {
    const char *name;
    const char *words;      /* "[UNIT] [FILE...]", for help */
    const char *summary;    /* one line */
    const char *text;       /* what it does, for help */
    int word_min, word_max; /* -1: any number */
    bool has_json;
    bool is_hidden;
    const struct obs_arg *args;
    size_t arg_count;
    int (*run)(struct cli *cli);
};

/*  name in code */
#define CLI_VERBS(VERB)                                                                            \
    VERB(up)                                                                                       \
    VERB(down)                                                                                     \
    VERB(status)                                                                                   \
    VERB(logs)                                                                                     \
    VERB(traces)                                                                                   \
    VERB(profile)                                                                                  \
    VERB(doctor)                                                                                   \
    VERB(demo)                                                                                     \
    VERB(load)                                                                                     \
    VERB(config)                                                                                   \
    VERB(restart)                                                                                  \
    VERB(signal)                                                                                   \
    VERB(where)                                                                                    \
    VERB(token)                                                                                    \
    VERB(provision)

#define CLI_DECLARE_VERB(name) extern const struct cli_verb verb_##name;
CLI_VERBS(CLI_DECLARE_VERB)

/* Values of flags by their place in the verb's table. */
static inline bool cli_flag(const struct cli *cli, size_t row)
{
    return cli->values[row][0] != '\0';
}

/* "observa: TEXT" on standard error. Returns CLI_FAILED, so that it can end a verb. */
int cli_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "  next: TEXT" on standard error: what the person can do about it. */
void cli_next(const char *format, ...) __attribute__((format(printf, 1, 2)));
