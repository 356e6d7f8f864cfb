/* observa-load compare: what differs between two reports. observa-load check: is a journey file
 * good? */
#include "base/file.h"
#include "load/command.h"
#include "load/command_args.h"
#include "load/compare.h"
#include "load/report.h"
#include "load/script.h"
#include <string.h>

#define REPORT_BYTES_MAX (256 << 20)

static int read_report(const char *path, json_t **ret_report, struct obs_reason *why)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer b = OBS_BUFFER_INIT(REPORT_BYTES_MAX);
    struct obs_reason detail = {0};
    OBS_JSON json = NULL;
    int r = obs_file_read(path, &b);

    if (r < 0) {
        obs_reason_set(why, "%.120s cannot be read: %s", path, strerror(-r));
        return 1;
    }
    r = obs_json_parse(b.data ? b.data : "", b.size, &json, &detail);
    if (r == 0)
        r = report_check(json, &detail);
    if (r == OBS_JSON_REFUSED)
        obs_reason_set(why, "%.100s: %s", path, detail.text);
    if (r == 0)
        *ret_report = OBS_TAKE(json);
    return r;
}

int command_compare(int argc, char *argv[])
{
    struct obs_reason why = {0};
    OBS_JSON a = NULL;
    OBS_JSON b = NULL;
    int r;

    if (argc != 3 || *argv[1] == '-') {
        fprintf(
            argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr,
            "usage: observa-load compare A.json B.json\n\n"
            "Two reports written by observa-load run --json: by how much B differs from A, and\n"
            "whether the seconds of the two runs differ by more than chance.\n");
        return argc == 2 && strcmp(argv[1], "--help") == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    r = read_report(argv[1], &a, &why);
    if (r == 0)
        r = read_report(argv[2], &b, &why);
    if (r != 0)
        return command_fail("compare", r, &why);
    compare_print(argv[1], a, argv[2], b, stdout);
    return EXIT_SUCCESS;
}

int command_check(int argc, char *argv[])
{
    struct obs_reason why = {0};
    struct script *script = NULL;
    int r;

    if (argc < 2 || *argv[1] == '-') {
        fprintf(stderr, "usage: observa-load check FILE…\n");
        return EXIT_FAILURE;
    }
    for (int i = 1; i < argc; i++) {
        r = script_load(argv[i], &script, &why);
        if (r != 0)
            return command_fail("check", r, &why);
        printf("%s: %u journeys, %u steps\n", argv[i], script->journey_count, script->step_total);
        script = script_free(script);
    }
    return EXIT_SUCCESS;
}
