/* pprof in, pprof out, and what must not pass. */
#include "support/test.h"

#include "otel/pb.h"
#include "telemetry/profile_pprof.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#define BUFFER OBS_CLEANUP(obs_buffer_done) struct obs_buffer

static void put(struct obs_buffer *b, unsigned field, const void *data, size_t size)
{
    uint8_t head[20];
    struct obs_pb pb = {.data = head, .capacity = sizeof(head) + size}; /* as if it all fit */

    obs_pb_open(&pb, field, size);
    obs_buffer_append(b, head, pb.size);
    obs_buffer_append(b, data, size);
}

static void put_text(struct obs_buffer *b, const char *text)
{
    put(b, 6, text, strlen(text));
}

struct message {
    uint8_t bytes[512];
    struct obs_pb pb;
};

static struct message *fresh(struct message *m)
{
    m->pb = (struct obs_pb){.data = m->bytes, .capacity = sizeof(m->bytes)};
    return m;
}

static void put_message(struct obs_buffer *b, unsigned field, const struct message *m)
{
    put(b, field, m->bytes, m->pb.size);
}

/* Two types; main (1) calls work (2); location 2 has "work" inlined into "loop" (3). */
static void put_example(struct obs_buffer *b)
{
    static const char *const TEXTS[] = {"",     "samples", "count", "cpu", "nanoseconds",
                                        "main", "work",    "loop"};
    struct message m, line;

    for (uint64_t i = 1; i <= 3; i += 2) {
        obs_pb_uint(&fresh(&m)->pb, 1, i);
        obs_pb_uint(&m.pb, 2, i + 1);
        put_message(b, 1, &m);
    }
    for (uint64_t i = 1; i <= 3; i++) {
        obs_pb_uint(&fresh(&m)->pb, 1, i);
        obs_pb_uint(&m.pb, 2, 4 + i);
        put_message(b, 5, &m);
    }
    obs_pb_uint(&fresh(&m)->pb, 1, 10);
    obs_pb_uint(&fresh(&line)->pb, 1, 1);
    obs_pb_bytes(&m.pb, 4, line.bytes, line.pb.size);
    put_message(b, 4, &m);
    obs_pb_uint(&fresh(&m)->pb, 1, 20);
    obs_pb_uint(&fresh(&line)->pb, 1, 2);
    obs_pb_bytes(&m.pb, 4, line.bytes, line.pb.size);
    obs_pb_uint(&fresh(&line)->pb, 1, 3);
    obs_pb_bytes(&m.pb, 4, line.bytes, line.pb.size);
    put_message(b, 4, &m);
    /* Unpacked, then packed. */
    obs_pb_uint(&fresh(&m)->pb, 1, 20);
    obs_pb_uint(&m.pb, 1, 10);
    obs_pb_uint(&m.pb, 2, 3);
    obs_pb_uint(&m.pb, 2, 30000000);
    put_message(b, 2, &m);
    obs_pb_bytes(&fresh(&m)->pb, 1, "\x0a", 1);
    obs_pb_bytes(&m.pb, 2, "\x02\x80\x01", 3);
    put_message(b, 2, &m);
    for (size_t i = 0; i < OBS_COUNT(TEXTS); i++)
        put_text(b, TEXTS[i]);
}

static void expect_folded(const struct profile_tree *tree, const char *expected)
{
    BUFFER b = OBS_BUFFER_INIT(4096);

    assert_int_equal(profile_folded_emit(tree, PROFILE_LEFT, &b), 0);
    assert_string_equal(b.data, expected);
}

static void each_sample_type_becomes_a_tree(void **state)
{
    BUFFER b = OBS_BUFFER_INIT(4096);
    struct obs_reason why = {0};
    struct pprof pprof;

    put_example(&b);
    assert_int_equal(pprof_decode(b.data, b.size, &pprof, &why), 0);
    assert_int_equal(pprof.value_count, 2);
    assert_memory_equal(pprof.values[1].type.text, "cpu", 3);
    expect_folded(pprof.values[0].tree, "main 2\nmain;loop;work 3\n");
    expect_folded(pprof.values[1].tree, "main 128\nmain;loop;work 30000000\n");
    pprof_done(&pprof);
}

static void what_is_written_reads_back_the_same(void **state)
{
    BUFFER b = OBS_BUFFER_INIT(1 << 20);
    BUFFER raw = OBS_BUFFER_INIT(1 << 20);
    OBS_CLEANUP(profile_tree_freep) struct profile_tree *tree = NULL;
    static const char FOLDED[] =
        "a 1\na;total;a 7\nb;a_name_that_is_longer_than_the_head_of_a_field_ever_gets 2\n"
        "a;b;c;d;e;f;g;h;i;j;k;l;m;n;o;p;q;r;s;t 9007199254740991\n";
    struct pprof_header header = {"samples", "count", 10309278, 5, 6};
    struct obs_reason why = {0};
    struct pprof pprof;

    assert_int_equal(profile_tree_new(NULL, &tree), 0);
    assert_int_equal(profile_folded_decode((struct text_view){FOLDED, strlen(FOLDED)},
                                           PROFILE_GROUPS, tree, &why),
                     0);
    assert_int_equal(pprof_emit(tree, PROFILE_LEFT, &header, &b), 0);
    assert_int_equal(profile_gunzip(b.data, b.size, &raw, &why), 0);
    assert_int_equal(pprof_decode(raw.data, raw.size, &pprof, &why), 0);
    expect_folded(pprof.values[0].tree, FOLDED);
    assert_int_equal(pprof.period, 10309278);
    assert_int_equal(pprof.time_ns, 5);
    pprof_done(&pprof);
}

static void expect_refused(const struct obs_buffer *b, int outcome, const char *text)
{
    struct obs_reason why = {0};
    struct pprof pprof;

    assert_int_equal(pprof_decode(b->data, b->size, &pprof, &why), outcome);
    assert_non_null(strstr(why.text, text));
}

static void every_cut_of_a_profile_is_refused_or_whole(void **state)
{
    BUFFER b = OBS_BUFFER_INIT(4096);

    put_example(&b);
    for (size_t size = 0; size < b.size; size++) {
        struct obs_reason why = {0};
        struct pprof pprof = {0};
        char *exact = malloc(size + 1); /* so that reading past the end is seen */
        int r;

        memcpy(exact, b.data, size);
        r = pprof_decode(exact, size, &pprof, &why);
        assert_true(r == PROFILE_DECODED || r == PROFILE_MALFORMED);
        assert_true(r == PROFILE_DECODED || why.text[0] != '\0');
        if (r == PROFILE_DECODED)
            pprof_done(&pprof);
        free(exact);
    }
}

static void numbers_that_point_nowhere_are_refused(void **state)
{
    struct message m;

    for (int what = 0; what < 5; what++) {
        BUFFER b = OBS_BUFFER_INIT(4096);
        static const char *const WHY[] = {"location that is not there", "more values",
                                          "fewer values", "given twice", "string index"};

        put_example(&b);
        fresh(&m);
        if (what < 3) {
            obs_pb_uint(&m.pb, 1, what == 0 ? 99 : 10);
            for (int i = 0; i < (what == 1 ? 3 : what == 2 ? 1 : 2); i++)
                obs_pb_uint(&m.pb, 2, 1);
            put_message(&b, 2, &m);
        } else if (what == 3) {
            obs_pb_uint(&m.pb, 1, 10);
            put_message(&b, 4, &m);
        } else {
            obs_pb_uint(&m.pb, 1, 4000);
            put_message(&b, 1, &m);
        }
        expect_refused(&b, PROFILE_MALFORMED, WHY[what]);
    }
}

static void negative_values_and_bad_utf8_are_refused(void **state)
{
    BUFFER negative = OBS_BUFFER_INIT(4096);
    BUFFER text = OBS_BUFFER_INIT(4096);
    struct message m;

    put_example(&negative);
    obs_pb_uint(&fresh(&m)->pb, 1, 10);
    obs_pb_uint(&m.pb, 2, (uint64_t)-1);
    put_message(&negative, 2, &m);
    expect_refused(&negative, PROFILE_MALFORMED, "negative");
    put_example(&text);
    put_text(&text, "\xc3\x28");
    expect_refused(&text, PROFILE_MALFORMED, "UTF-8");
}

static void too_many_locations_or_frames_are_too_large(void **state)
{
    BUFFER locations = OBS_BUFFER_INIT(64 << 20);
    BUFFER deep = OBS_BUFFER_INIT(1 << 20);
    struct message m;
    char *path = malloc(2000);

    put_example(&locations);
    for (uint64_t i = 100; i < 1000000; i++) {
        obs_pb_uint(&fresh(&m)->pb, 1, i);
        put_message(&locations, 4, &m);
    }
    expect_refused(&locations, PROFILE_TOO_LARGE, "locations");
    put_example(&deep);
    memset(path, 10, 2000);
    BUFFER sample = OBS_BUFFER_INIT(1 << 20);
    put(&sample, 1, path, 2000);
    put(&deep, 2, sample.data, sample.size);
    expect_refused(&deep, PROFILE_TOO_LARGE, "frames in one stack");
    free(path);
}

/* A million samples of one location with a thousand inlined lines. */
static void work_is_bounded_not_only_size(void **state)
{
    BUFFER b = OBS_BUFFER_INIT(64 << 20);
    BUFFER location = OBS_BUFFER_INIT(1 << 20);
    struct message m;

    put_example(&b);
    obs_buffer_append(&location, "\x08\x4d", 2); /* id 77 */
    for (int i = 0; i < 1000; i++)
        put(&location, 4, "\x08\x01", 2);
    put(&b, 4, location.data, location.size);
    obs_pb_uint(&fresh(&m)->pb, 1, 77);
    obs_pb_uint(&m.pb, 2, 1);
    obs_pb_uint(&m.pb, 2, 1);
    for (int i = 0; i < 1000000; i++)
        put_message(&b, 2, &m);
    expect_refused(&b, PROFILE_TOO_LARGE, "frames in all stacks");
}

static void a_gzip_bomb_stops_at_the_limit(void **state)
{
    static char zeros[1 << 20];
    BUFFER packed = OBS_BUFFER_INIT(1 << 20);
    BUFFER out = OBS_BUFFER_INIT(4 << 20);
    struct obs_reason why = {0};
    z_stream z = {0};
    char *space;

    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(obs_buffer_reserve(&packed, 1 << 19, &space), 0);
    z.next_out = (Bytef *)space;
    z.avail_out = 1 << 19;
    for (int i = 0; i < 100; i++) {
        z.next_in = (Bytef *)zeros;
        z.avail_in = sizeof(zeros);
        assert_int_equal(deflate(&z, i == 99 ? Z_FINISH : Z_NO_FLUSH),
                         i == 99 ? Z_STREAM_END : Z_OK);
    }
    obs_buffer_added(&packed, (1 << 19) - z.avail_out);
    deflateEnd(&z);
    assert_int_equal(profile_gunzip(packed.data, packed.size, &out, &why), PROFILE_TOO_LARGE);
    assert_non_null(strstr(why.text, "4194304"));
    obs_buffer_clear(&out);
    assert_int_equal(profile_gunzip(packed.data, 1000, &out, &why), PROFILE_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_sample_type_becomes_a_tree),
        cmocka_unit_test(what_is_written_reads_back_the_same),
        cmocka_unit_test(every_cut_of_a_profile_is_refused_or_whole),
        cmocka_unit_test(numbers_that_point_nowhere_are_refused),
        cmocka_unit_test(negative_values_and_bad_utf8_are_refused),
        cmocka_unit_test(too_many_locations_or_frames_are_too_large),
        cmocka_unit_test(work_is_bounded_not_only_size),
        cmocka_unit_test(a_gzip_bomb_stops_at_the_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
