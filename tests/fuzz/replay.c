/*
 * Replay: runs a fuzz target without libFuzzer, on every file of the folders given and on every
 * beginning of it: an input cut anywhere is the first thing a network gives a parser.
 *
 * Each input is in memory of exactly its size, so that a sanitizer sees a read past its end. Prints
 * TAP, one test per file; a crash ends the program, after the file's name was printed.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define FILE_SIZE_MAX (1 << 20)
#define CUTS_MAX 2048 /* of files longer than this only the first so many beginnings */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run(const char *data, size_t size)
{
    OBS_CLEANUP(obs_freep) uint8_t *copy = malloc(size ? size : 1);

    if (!copy)
        abort();
    if (size > 0)
        memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
}

static void replay_file(const char *folder, const char *name, unsigned number)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer b = OBS_BUFFER_INIT(FILE_SIZE_MAX);
    char path[4096];
    int r;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    printf("# %s\n", path);
    fflush(stdout);
    r = obs_file_read(path, &b);
    for (size_t size = 0; r == 0 && size < b.size && size < CUTS_MAX; size++)
        run(b.data, size);
    if (r == 0)
        run(b.data, b.size);
    printf("%s %u - %s\n", r == 0 ? "ok" : "not ok", number, name);
}

static int is_input(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

int main(int argc, char *argv[])
{
    unsigned count = 0;

    for (int i = 1; i < argc; i++) {
        struct dirent **entries;
        int n = scandir(argv[i], &entries, is_input, alphasort);

        if (n < 0 && errno != ENOENT) /* a target may have no regressions yet */
            return EXIT_FAILURE;
        for (int at = 0; at < n; at++) {
            replay_file(argv[i], entries[at]->d_name, ++count);
            free(entries[at]);
        }
        if (n >= 0)
            free(entries);
    }
    run("", 0);
    printf("ok %u - empty input\n1..%u\n", count + 1, count + 1);
    return EXIT_SUCCESS;
}
