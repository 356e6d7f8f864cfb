/* What a client pushes as pprof: gzip or not, bare or in a form. What is read is written and read
 * again, and must be the same. */
#include "telemetry/profile_pprof.h"
#include "telemetry/pyroscope.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(const struct pprof_values *values)
{
    struct obs_buffer packed = OBS_BUFFER_INIT(1 << 24), raw = OBS_BUFFER_INIT(1 << 24);
    struct pprof_header header = {"samples", "count", 1, 2, 3};
    struct pprof again;

    if (pprof_emit(values->tree, PROFILE_LEFT, &header, &packed) != 0 ||
        profile_gunzip(packed.data, packed.size, &raw, NULL) != 0 ||
        pprof_decode(raw.data, raw.size, &again, NULL) != 0 ||
        profile_tree_self_sum(again.values[0].tree, PROFILE_LEFT) !=
            profile_tree_self_sum(values->tree, PROFILE_LEFT))
        abort();
    pprof_done(&again);
    obs_buffer_done(&packed);
    obs_buffer_done(&raw);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct obs_buffer raw = OBS_BUFFER_INIT(1 << 20);
    struct pyroscope_part parts[PYROSCOPE_PARTS_MAX];
    struct obs_reason why = {0};
    struct pprof pprof;
    size_t count;

    if (profile_gunzip(data, size, &raw, &why) == 0 &&
        pprof_decode(raw.data, raw.size, &pprof, &why) == 0) {
        uint64_t sum = 0;

        for (size_t i = 0; i < pprof.value_count; i++)
            sum |= profile_tree_self_sum(pprof.values[i].tree, PROFILE_LEFT);
        /* A sum may be larger than one value may be: then it cannot be read back. */
        for (size_t i = 0; i < pprof.value_count && sum <= PROFILE_VALUE_MAX; i++)
            check_again(&pprof.values[i]);
        pprof_done(&pprof);
    }
    obs_buffer_done(&raw);
    (void)pyroscope_parts("multipart/form-data; boundary=b",
                          (struct text_view){(const char *)data, size}, parts, &count, &why);
    return 0;
}
