/* observa-load: open-loop load with user journeys, and the truth about what users experienced. */
#include "base/cleanup.h"
#include "load/command.h"
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *summary;
    int (*run)(int argc, char *argv[]);
} COMMANDS[] = {
    {"run", "one load against any HTTP target, with a report", command_run},
    {"serve", "a load that is steered over HTTP, with metrics and probes", command_serve},
    {"compare", "what differs between two reports", command_compare},
    {"check", "is a file of journeys good?", command_check},
};

static void usage(FILE *out)
{
    fprintf(out, "usage: observa-load COMMAND …\n\n");
    for (size_t i = 0; i < OBS_COUNT(COMMANDS); i++)
        fprintf(out, "  %-8s %s\n", COMMANDS[i].name, COMMANDS[i].summary);
    fprintf(out, "\nobserva-load COMMAND --help tells its flags.\n");
}

int main(int argc, char *argv[])
{
    for (size_t i = 0; argc > 1 && i < OBS_COUNT(COMMANDS); i++)
        if (strcmp(argv[1], COMMANDS[i].name) == 0)
            return COMMANDS[i].run(argc - 1, argv + 1);
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        usage(stdout);
        return EXIT_SUCCESS;
    }
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("observa-load %s\n", OBS_VERSION);
        return EXIT_SUCCESS;
    }
    if (argc > 1)
        fprintf(stderr, "observa-load: there is no command \"%.60s\"\n\n", argv[1]);
    usage(stderr);
    return EXIT_FAILURE;
}
