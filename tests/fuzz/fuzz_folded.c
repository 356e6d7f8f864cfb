/* Folded stacks, the names under which they are pushed, queries and times. */
#include "telemetry/profile_flamebearer.h"
#include "telemetry/profile_folded.h"
#include "telemetry/profile_selector.h"
#include "telemetry/profile_time.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was read is written, read again and must be written the same. */
static void check_tree(struct profile_tree *tree)
{
    struct profile_tree *again = NULL;
    struct obs_buffer first = OBS_BUFFER_INIT(1 << 24), second = OBS_BUFFER_INIT(1 << 24);

    if (profile_tree_new(NULL, &again) != 0 ||
        profile_folded_emit(tree, PROFILE_LEFT, &first) != 0 ||
        profile_folded_decode((struct text_view){first.data, first.size}, PROFILE_GROUPS, again,
                              NULL) != 0 ||
        profile_folded_emit(again, PROFILE_LEFT, &second) != 0 || first.size != second.size ||
        profile_tree_self_sum(tree, PROFILE_LEFT) != profile_tree_self_sum(again, PROFILE_LEFT) ||
        profile_tree_sum(tree) != 0)
        abort();
    obs_buffer_clear(&first);
    if (profile_flamebearer_emit(tree, second.size % 2 == 1, 3, &first) != 0)
        abort();
    profile_tree_free(again);
    obs_buffer_done(&first);
    obs_buffer_done(&second);
}

static void take_folded(const uint8_t *data, size_t size)
{
    struct profile_tree *tree = NULL;

    for (int form = PROFILE_GROUPS; form <= PROFILE_LINES; form++) {
        if (profile_tree_new(NULL, &tree) != 0)
            abort();
        if (profile_folded_decode((struct text_view){(const char *)data, size},
                                  (enum profile_folded_form)form, tree, NULL) == 0 &&
            profile_tree_self_sum(tree, PROFILE_LEFT) <= PROFILE_VALUE_MAX)
            check_tree(tree);
        profile_tree_free(tree);
    }
}

static void take_texts(const uint8_t *data, size_t size)
{
    struct profile_selector *selector;
    char *text = malloc(size + 1);
    struct profile_name name;
    struct obs_reason why;
    uint64_t ns;

    if (!text)
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    if (profile_name_parse(text, &name, &why) == 0)
        profile_name_done(&name);
    if (profile_selector_parse(text, &selector, &why) == 0) {
        struct label label = {{"a", 1}, {text, strlen(text)}};

        (void)profile_matches(selector->matchers, selector->matcher_count, &label, 1);
        profile_selector_free(selector);
    }
    (void)profile_time_parse("from", text, 1763900000000000000ULL, &ns, &why);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    take_folded(data, size);
    take_texts(data, size);
    return 0;
}
