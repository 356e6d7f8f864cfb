#include "otel/profile.h"

#include "otel/profile_internal.h"
#include <errno.h>
#include <string.h>

static int compare_addresses(const void *a, const void *b)
{
    uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;

    return x < y ? -1 : x > y;
}

static int collect_addresses(struct named_profile *profile)
{
    size_t all = profile->table->frame_count, kept = 0;
    uintptr_t *addresses = malloc((all + 1) * sizeof(*addresses));

    if (!addresses)
        return -ENOMEM;
    memcpy(addresses, profile->table->frames, all * sizeof(*addresses));
    qsort(addresses, all, sizeof(*addresses), compare_addresses);
    for (size_t i = 0; i < all; i++)
        if (kept == 0 || addresses[kept - 1] != addresses[i])
            addresses[kept++] = addresses[i];
    profile->addresses = addresses;
    profile->address_count = kept;
    return 0;
}

int obs_profile_emit(const struct obs_stack_table *table, enum obs_profile_format format,
                     struct obs_buffer *b)
{
    struct named_profile profile = {.table = table};
    int r = collect_addresses(&profile);

    if (r == 0)
        r = obs_symbols_resolve(profile.addresses, profile.address_count, &profile.symbols);
    if (r == 0)
        r = format == OBS_PROFILE_FOLDED ? profile_emit_folded(&profile, b)
                                         : profile_emit_pprof(&profile, b);
    obs_symbols_free(profile.symbols);
    free(profile.addresses);
    return r;
}
