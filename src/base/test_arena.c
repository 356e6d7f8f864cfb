#include "support/test.h"

#include "base/arena.h"
#include <stdalign.h>
#include <stdint.h>
#include <string.h>

static void gives_zeroed_memory_aligned_for_any_type(void **state)
{
    OBS_CLEANUP(obs_arena_freep) struct obs_arena *arena = NULL;

    assert_int_equal(obs_arena_new(1000000, &arena), 0);
    for (int round = 0; round < 2; round++) {
        for (size_t size = 1; size < 300; size++) {
            unsigned char *memory = obs_arena_alloc(arena, size);

            assert_non_null(memory);
            assert_int_equal((uintptr_t)memory % alignof(max_align_t), 0);
            for (size_t i = 0; i < size; i++)
                assert_int_equal(memory[i], 0);
            memset(memory, 0xAA, size); /* the next one, and the next round, must not see it */
        }
        obs_arena_reset(arena);
    }
}

static void never_passes_its_limit(void **state)
{
    OBS_CLEANUP(obs_arena_freep) struct obs_arena *arena = NULL;
    size_t got = 0;

    assert_int_equal(obs_arena_new(50000, &arena), 0);
    while (obs_arena_alloc(arena, 160))
        got += 160;
    assert_in_range(got, 50000 - 160, 50000);
    assert_null(obs_arena_alloc(arena, SIZE_MAX));
    assert_null(obs_arena_alloc(arena, SIZE_MAX - 8));
    obs_arena_reset(arena);
    assert_non_null(obs_arena_alloc(arena, 49984));
    assert_null(obs_arena_alloc(arena, 160));
}

static void holds_one_piece_larger_than_its_chunks(void **state)
{
    OBS_CLEANUP(obs_arena_freep) struct obs_arena *arena = NULL;
    char *small, *large;

    assert_int_equal(obs_arena_new(10000000, &arena), 0);
    small = obs_arena_strndup(arena, "small", 5);
    large = obs_arena_alloc(arena, 1000000);
    assert_non_null(large);
    memset(large, 'x', 1000000);
    assert_string_equal(small, "small");
}

static void copies_and_formats_text(void **state)
{
    OBS_CLEANUP(obs_arena_freep) struct obs_arena *arena = NULL;

    assert_int_equal(obs_arena_new(128, &arena), 0);
    assert_string_equal(obs_arena_strndup(arena, "abcdef", 3), "abc");
    assert_string_equal(obs_arena_strndup(arena, "ab", 30), "ab");
    assert_string_equal(obs_arena_printf(arena, "%s-%d", "id", 42), "id-42");
    assert_null(obs_arena_printf(arena, "%0500d", 1));
    assert_string_equal(obs_arena_printf(arena, "%s", ""), "");
}

static void is_of_use_with_a_limit_of_nothing(void **state)
{
    OBS_CLEANUP(obs_arena_freep) struct obs_arena *arena = NULL;

    assert_int_equal(obs_arena_new(0, &arena), 0);
    assert_null(obs_arena_alloc(arena, 1));
    assert_null(obs_arena_free(NULL));
}

static void a_copy_keeps_what_is_behind_a_nul(void **state)
{
    OBS_CLEANUP(obs_arena_freep) struct obs_arena *arena = NULL;

    assert_int_equal(obs_arena_new(4096, &arena), 0);
    assert_memory_equal(obs_arena_copy(arena, "\0ab\0c", 5), "\0ab\0c", 6);
    assert_string_equal(obs_arena_copy(arena, NULL, 0), "");
    assert_null(obs_arena_copy(arena, "x", 8192));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_zeroed_memory_aligned_for_any_type),
        cmocka_unit_test(never_passes_its_limit),
        cmocka_unit_test(holds_one_piece_larger_than_its_chunks),
        cmocka_unit_test(copies_and_formats_text),
        cmocka_unit_test(is_of_use_with_a_limit_of_nothing),
        cmocka_unit_test(a_copy_keeps_what_is_behind_a_nul),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
