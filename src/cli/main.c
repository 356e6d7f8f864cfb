/*
 * observa: the command that people type.
 *
 * A verb is a row of CLI_VERBS and a `struct cli_verb` in its own file, which holds its flags, help
 * and code. Flags and words may come in any order; --state-dir may stand before the verb too.
 */
#include "base/args.h"
#include "base/cleanup.h"
#include "cli/cli.h"
#include "cli/privileges.h"
#include "cli/suggest.h"
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#ifndef OBSERVA_VERSION
#define OBSERVA_VERSION "0.1.0"
#endif

#define ARGS_MAX 64
#define FLAGS_MAX 16

static const struct cli_verb *const VERBS[] = {
#define MAIN_VERB(name) &verb_##name,
    CLI_VERBS(MAIN_VERB)
#undef MAIN_VERB
};

static const struct obs_arg STATE_DIR = {"state-dir", "STATE_DIR", "", "DIR",
                                         "the installation; default: this checkout's"};
static const struct obs_arg JSON = {"json",           NULL, "", NULL, "print JSON, for scripts",
                                    .is_switch = true};

int cli_fail(const char *format, ...)
{
    va_list args;

    fflush(stdout);
    fputs("observa: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return CLI_FAILED;
}

void cli_next(const char *format, ...)
{
    va_list args;

    fputs("  next: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

static const struct cli_verb *find_verb(const char *name)
{
    for (size_t i = 0; i < OBS_COUNT(VERBS); i++) {
        if (strcmp(VERBS[i]->name, name) == 0)
            return VERBS[i];
    }
    return NULL;
}

static int unknown_verb(const char *name)
{
    const char *names[OBS_COUNT(VERBS)], *nearest;
    size_t count = 0;

    for (size_t i = 0; i < OBS_COUNT(VERBS); i++) {
        if (!VERBS[i]->is_hidden)
            names[count++] = VERBS[i]->name;
    }
    nearest = suggest_nearest(name, names, count);
    cli_fail("there is no verb \"%s\"", name);
    if (nearest)
        cli_next("did you mean: observa %s", nearest);
    else
        cli_next("observa --help lists them");
    return CLI_USAGE;
}

static void print_overview(void)
{
    puts("observa - run a shop to train on, and the real servers around it\n\n"
         "usage: observa [--state-dir DIR] VERB [FLAGS] [WORDS]\n\nverbs:");
    for (size_t i = 0; i < OBS_COUNT(VERBS); i++) {
        if (!VERBS[i]->is_hidden)
            printf("  %-10s %s\n", VERBS[i]->name, VERBS[i]->summary);
    }
    puts("\nobserva VERB --help tells more about one.\n"
         "exit status: 0 done, 1 failed or not well, 2 wrong command line, 3 not running");
}

static void print_flag(const struct obs_arg *arg)
{
    char flag[64];

    (void)snprintf(flag, sizeof(flag), "--%s%s%s", arg->name, arg->is_switch ? "" : " ",
                   arg->is_switch ? "" : arg->value_name);
    printf("  %-22s %s", flag, arg->meaning);
    if (arg->environment)
        printf(" [%s]", arg->environment);
    if (arg->standard && arg->standard[0] != '\0')
        printf(" (default %s)", arg->standard);
    putchar('\n');
}

static void print_help(const struct cli_verb *verb)
{
    printf("observa %s - %s\n\nusage: observa %s [FLAGS]%s%s\n\n%s\n\nflags:\n", verb->name,
           verb->summary, verb->name, verb->words[0] != '\0' ? " " : "", verb->words, verb->text);
    for (size_t i = 0; i < verb->arg_count; i++)
        print_flag(&verb->args[i]);
    if (verb->has_json)
        print_flag(&JSON);
    print_flag(&STATE_DIR);
}

struct command_line {
    struct obs_arg args[FLAGS_MAX];
    size_t arg_count;
    const char *values[FLAGS_MAX];
    char *flags[ARGS_MAX]; /* argv for obs_args_parse(): the flags alone */
    int flag_count;
    char *words[ARGS_MAX];
    int word_count;
};

/* Does the flag at @word take the next argument as its value? */
static bool takes_next(const struct command_line *line, const char *word)
{
    if (strchr(word, '='))
        return false;
    for (size_t i = 0; i < line->arg_count; i++) {
        if (strcmp(line->args[i].name, word + 2) == 0)
            return !line->args[i].is_switch;
    }
    return false;
}

/* Part flags from words, so that they may come in any order. `-f` and `-n N` are the two short ones
 * that everybody types. */
static int part(struct command_line *line, int argc, char *argv[], struct obs_reason *reterr_reason)
{
    static char follow[] = "--follow", lines[] = "--lines";
    bool only_words = false;

    line->flags[line->flag_count++] = argv[0];
    for (int i = 0; i < argc - 1; i++) {
        char *word = argv[i + 1];

        if (line->flag_count + 2 >= ARGS_MAX || line->word_count + 1 >= ARGS_MAX) {
            obs_reason_set(reterr_reason, "too many arguments");
            return OBS_ARGS_REFUSED;
        }
        if (!only_words && strcmp(word, "-f") == 0)
            word = follow;
        if (!only_words && strcmp(word, "-n") == 0)
            word = lines;
        if (only_words || word[0] != '-' || word[1] == '\0') {
            line->words[line->word_count++] = word;
        } else if (strcmp(word, "--") == 0) {
            only_words = true;
        } else {
            line->flags[line->flag_count++] = word;
            if (takes_next(line, word) && i + 2 < argc)
                line->flags[line->flag_count++] = argv[++i + 1];
        }
    }
    return OBS_ARGS_OK;
}

static int read_line(const struct cli_verb *verb, int argc, char *argv[], struct command_line *line,
                     struct obs_reason *reterr_reason)
{
    int r;

    for (size_t i = 0; i < verb->arg_count; i++)
        line->args[line->arg_count++] = verb->args[i];
    line->args[line->arg_count++] = STATE_DIR;
    if (verb->has_json)
        line->args[line->arg_count++] = JSON;
    r = part(line, argc, argv, reterr_reason);
    if (r == 0)
        r = obs_args_parse("observa", verb->summary, line->args, line->arg_count, line->flag_count,
                           line->flags, line->values, NULL, reterr_reason);
    if (r != 0)
        return r;
    if (line->word_count < verb->word_min ||
        (verb->word_max >= 0 && line->word_count > verb->word_max)) {
        obs_reason_set(reterr_reason, "expected: observa %s %s", verb->name, verb->words);
        return OBS_ARGS_REFUSED;
    }
    return OBS_ARGS_OK;
}

static int run_verb(const struct cli_verb *verb, int argc, char *argv[])
{
    struct command_line line = {0};
    struct cli cli = {.verb = verb};
    struct obs_reason why = {0};
    int r = read_line(verb, argc, argv, &line, &why);

    if (r == OBS_ARGS_HELP)
        return CLI_OK;
    if (r != 0) {
        cli_fail("%s: %s", verb->name, why.text[0] != '\0' ? why.text : strerror(-r));
        cli_next("observa %s --help", verb->name);
        return CLI_USAGE;
    }
    cli.values = line.values;
    cli.words = line.words;
    cli.word_count = line.word_count;
    cli.is_json = verb->has_json && line.values[verb->arg_count + 1][0] != '\0';
    cli.is_colourful = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
    if (paths_find(line.values[verb->arg_count], &cli.paths, &why) != 0) {
        cli_fail("%s", why.text);
        return CLI_USAGE;
    }
    return verb->run(&cli);
}

int main(int argc, char *argv[])
{
    const struct cli_verb *verb;

    signal(SIGPIPE, SIG_IGN);
    umask(077);
    if (argc > 2 && strcmp(argv[1], "--state-dir") == 0) {
        (void)setenv("STATE_DIR", argv[2], 1);
        argv += 2;
        argc -= 2;
    }
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        (strcmp(argv[1], "help") == 0 && argc == 2)) {
        print_overview();
        return argc < 2 ? CLI_USAGE : CLI_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("observa " OBSERVA_VERSION);
        return CLI_OK;
    }
    if (strcmp(argv[1], "help") == 0) {
        verb = find_verb(argv[2]);
        if (verb)
            print_help(verb);
        return verb ? CLI_OK : unknown_verb(argv[2]);
    }
    verb = find_verb(argv[1]);
    if (!verb)
        return unknown_verb(argv[1]);
    for (int i = 2; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help(verb);
            return CLI_OK;
        }
    }
    return run_verb(verb, argc - 1, argv + 1);
}
