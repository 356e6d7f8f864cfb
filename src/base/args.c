/* Arguments: see args.h. */
#include "base/args.h"

#include "base/buffer.h"
#include <stdio.h>
#include <string.h>

static void print_flag(struct obs_buffer *b, const char *name, const char *value_name, int width)
{
    int used = (int)(strlen(name) + (value_name ? strlen(value_name) + 1 : 0));

    obs_buffer_printf(b, "  --%s%s%s%*s", name, value_name ? " " : "", value_name ? value_name : "",
                      width > used ? width - used : 0, "");
}

static void print_help(const char *program, const char *summary, const struct obs_arg *args,
                       size_t count)
{
    struct obs_buffer b = OBS_BUFFER_INIT(65536);
    int width = (int)strlen("version") + 2;

    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(args[i].name) + 3;

        if (!args[i].is_switch && args[i].value_name)
            used += strlen(args[i].value_name);
        width = (int)used > width ? (int)used : width;
    }
    obs_buffer_printf(&b, "usage: %s [FLAG...]\n%s\n\n", program, summary);
    for (size_t i = 0; i < count; i++) {
        const struct obs_arg *arg = &args[i];

        print_flag(&b, arg->name, arg->is_switch ? NULL : arg->value_name, width);
        obs_buffer_append_text(&b, arg->meaning);
        if (!arg->standard)
            obs_buffer_append_text(&b, " (required)");
        else if (*arg->standard && !arg->is_switch)
            obs_buffer_printf(&b, " (default: %s)", arg->standard);
        if (arg->environment)
            obs_buffer_printf(&b, " [%s]", arg->environment);
        obs_buffer_append_char(&b, '\n');
    }
    print_flag(&b, "help", NULL, width);
    obs_buffer_append_text(&b, "print this and exit\n");
    print_flag(&b, "version", NULL, width);
    obs_buffer_append_text(&b, "print the version and exit\n");
    if (count > 0)
        obs_buffer_append_text(&b, "\nA name in brackets is the environment variable used when the "
                                   "flag is not given.\n");
    fwrite(b.data, 1, b.size, stdout);
    fflush(stdout);
    obs_buffer_done(&b);
}

static int take_switch(const char *name, const char *text, const char **ret_value,
                       struct obs_reason *reterr_reason)
{
    if (strcmp(text, "true") == 0 || strcmp(text, "1") == 0)
        *ret_value = "true";
    else if (strcmp(text, "false") == 0 || strcmp(text, "0") == 0)
        *ret_value = "";
    else {
        obs_reason_set(reterr_reason, "%s is \"%s\": expected true or false", name, text);
        return OBS_ARGS_REFUSED;
    }
    return OBS_ARGS_OK;
}

/* Fill @values from the environment and the defaults; NULL stays where nothing gives a value. */
static int read_environment(const struct obs_arg *args, size_t count, const char **values,
                            struct obs_reason *reterr_reason)
{
    for (size_t i = 0; i < count; i++) {
        const char *text = args[i].environment ? getenv(args[i].environment) : NULL;

        values[i] = args[i].standard;
        if (!text || *text == '\0')
            continue;
        values[i] = text;
        if (args[i].is_switch &&
            take_switch(args[i].environment, text, &values[i], reterr_reason) != 0)
            return OBS_ARGS_REFUSED;
    }
    return OBS_ARGS_OK;
}

static const struct obs_arg *find(const struct obs_arg *args, size_t count, const char *name,
                                  size_t size)
{
    for (size_t i = 0; i < count; i++)
        if (strncmp(args[i].name, name, size) == 0 && args[i].name[size] == '\0')
            return &args[i];
    return NULL;
}

/* Read the flag at argv[*index]; *index moves to its last word. */
static int read_flag(const struct obs_arg *args, size_t count, int argc, char *argv[], int *index,
                     const char **values, struct obs_reason *reterr_reason)
{
    const char *word = argv[*index], *equals = strchr(word, '=');
    size_t size = equals ? (size_t)(equals - word) : strlen(word);
    const struct obs_arg *arg = NULL;

    if (strncmp(word, "--", 2) == 0)
        arg = find(args, count, word + 2, size - 2);
    if (!arg) {
        obs_reason_set(reterr_reason, "%.*s is not a flag: see --help", size < 80 ? (int)size : 80,
                       word);
        return OBS_ARGS_REFUSED;
    }
    if (arg->is_switch && equals) {
        return take_switch(word, equals + 1, &values[arg - args], reterr_reason);
    } else if (arg->is_switch) {
        values[arg - args] = "true";
    } else if (equals) {
        values[arg - args] = equals + 1;
    } else if (*index + 1 < argc && strncmp(argv[*index + 1], "--", 2) != 0) {
        values[arg - args] = argv[++*index];
    } else {
        obs_reason_set(reterr_reason, "--%s has no value: expected --%s %s (%s)", arg->name,
                       arg->name, arg->value_name ? arg->value_name : "VALUE", arg->meaning);
        return OBS_ARGS_REFUSED;
    }
    return OBS_ARGS_OK;
}

static int check_required(const struct obs_arg *args, size_t count, const char **values,
                          struct obs_reason *reterr_reason)
{
    for (size_t i = 0; i < count; i++) {
        if (values[i])
            continue;
        obs_reason_set(reterr_reason, "--%s is missing: expected --%s %s (%s)%s%s", args[i].name,
                       args[i].name, args[i].value_name ? args[i].value_name : "VALUE",
                       args[i].meaning, args[i].environment ? " or environment variable " : "",
                       args[i].environment ? args[i].environment : "");
        return OBS_ARGS_REFUSED;
    }
    return OBS_ARGS_OK;
}

int obs_args_parse(const char *program, const char *summary, const struct obs_arg *args,
                   size_t count, int argc, char *argv[], const char **values, int *ret_rest,
                   struct obs_reason *reterr_reason)
{
    int r = read_environment(args, count, values, reterr_reason), i;

    for (i = 1; r == OBS_ARGS_OK && i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            print_help(program, summary, args, count);
            return OBS_ARGS_HELP;
        }
        if (strcmp(argv[i], "--version") == 0) {
            printf("%s %s\n", program, OBS_VERSION);
            fflush(stdout);
            return OBS_ARGS_HELP;
        }
        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        }
        if (argv[i][0] != '-' || argv[i][1] == '\0')
            break;
        r = read_flag(args, count, argc, argv, &i, values, reterr_reason);
    }
    if (r != OBS_ARGS_OK)
        return r;
    if (i < argc && !ret_rest) {
        obs_reason_set(reterr_reason, "\"%.80s\" is not expected here: see --help", argv[i]);
        return OBS_ARGS_REFUSED;
    }
    r = check_required(args, count, values, reterr_reason);
    if (r == OBS_ARGS_OK && ret_rest)
        *ret_rest = i;
    return r;
}
