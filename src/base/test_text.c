#include "support/test.h"

#include "base/text.h"
#include <float.h>
#include <locale.h>
#include <math.h>
#include <string.h>

static int parse_u64(const char *text, uint64_t max, uint64_t *ret_value)
{
    return obs_text_parse_u64(text, strlen(text), max, ret_value);
}

static void reads_decimal_digits_only(void **state)
{
    static const char *const bad[] = {"",    "-1",  "+1",  " 1", "1 ",
                                      "0x1", "1.0", "1e3", "a",  "99999999999999999999999x"};
    uint64_t value = 7;

    assert_int_equal(parse_u64("18446744073709551615", UINT64_MAX, &value), OBS_TEXT_OK);
    assert_true(value == UINT64_MAX);
    assert_int_equal(parse_u64("0042", 42, &value), OBS_TEXT_OK);
    assert_int_equal(value, 42);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(parse_u64(bad[i], UINT64_MAX, &value), OBS_TEXT_BAD);
    assert_int_equal(value, 42);
}

static void tells_what_does_not_fit_from_what_is_no_number(void **state)
{
    uint64_t value = 7;

    assert_int_equal(parse_u64("43", 42, &value), OBS_TEXT_RANGE);
    assert_int_equal(parse_u64("18446744073709551616", UINT64_MAX, &value), OBS_TEXT_RANGE);
    assert_int_equal(parse_u64("99999999999999999999999", UINT64_MAX, &value), OBS_TEXT_RANGE);
    assert_int_equal(value, 7);
}

static void reads_no_byte_past_the_size(void **state)
{
    uint64_t value;

    assert_int_equal(obs_text_parse_u64("123", 2, 100, &value), OBS_TEXT_OK);
    assert_int_equal(value, 12);
}

static int decode(const char *in, bool plus_is_space, char *out, size_t capacity)
{
    return obs_text_percent_decode(in, strlen(in), plus_is_space, out, capacity, NULL);
}

static void decodes_percent_escapes(void **state)
{
    char out[32], same[] = "%41%2fb";
    size_t size;

    assert_int_equal(obs_text_percent_decode("a%20%C3%a9+", 11, false, out, sizeof(out), &size),
                     OBS_TEXT_OK);
    assert_string_equal(out, "a \xC3\xA9+");
    assert_int_equal(size, 5);
    assert_int_equal(decode("a+b%2B", true, out, sizeof(out)), OBS_TEXT_OK);
    assert_string_equal(out, "a b+");
    assert_int_equal(decode(same, false, same, sizeof(same)), OBS_TEXT_OK);
    assert_string_equal(same, "A/b");
    assert_int_equal(decode("", false, out, 1), OBS_TEXT_OK);
    assert_string_equal(out, "");
}

static void refuses_bad_escapes_and_nul(void **state)
{
    static const char *const bad[] = {"%", "%4", "a%", "%zz", "%4g", "%00", "%-1", "% 1"};
    char out[32];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(decode(bad[i], false, out, sizeof(out)), OBS_TEXT_BAD);
    assert_int_equal(obs_text_percent_decode("a\0b", 3, false, out, sizeof(out), NULL),
                     OBS_TEXT_BAD);
    assert_int_equal(obs_text_percent_decode("%41", 2, false, out, sizeof(out), NULL),
                     OBS_TEXT_BAD); /* the size cuts the escape */
}

static void decodes_into_exactly_enough_room(void **state)
{
    char out[4];

    assert_int_equal(decode("%41bc", false, out, 4), OBS_TEXT_OK);
    assert_string_equal(out, "Abc");
    assert_int_equal(decode("%41bcd", false, out, 4), OBS_TEXT_RANGE);
    assert_int_equal(decode("", false, out, 0), OBS_TEXT_RANGE);
}

static void encodes_all_but_unreserved_characters(void **state)
{
    char out[32];

    assert_int_equal(obs_text_percent_encode("aZ0-._~ /\xC3\n", 11, out, sizeof(out)), OBS_TEXT_OK);
    assert_string_equal(out, "aZ0-._~%20%2F%C3%0A");
    assert_int_equal(obs_text_percent_encode("a/", 2, out, 5), OBS_TEXT_OK);
    assert_int_equal(obs_text_percent_encode("a/", 2, out, 4), OBS_TEXT_RANGE);
    assert_int_equal(obs_text_percent_encode("", 0, out, 0), OBS_TEXT_RANGE);
}

static void hex_goes_both_ways(void **state)
{
    const uint8_t bytes[] = {0x00, 0x9f, 0xa0, 0xff};
    uint8_t back[4] = {1, 2, 3, 4};
    char text[9];

    obs_text_hex(bytes, sizeof(bytes), text);
    assert_string_equal(text, "009fa0ff");
    assert_int_equal(obs_text_unhex("009FA0FF", 8, back, 4), OBS_TEXT_BAD);
    assert_int_equal(obs_text_unhex("009fa0f", 7, back, 4), OBS_TEXT_BAD);
    assert_int_equal(obs_text_unhex("009fa0ff0", 9, back, 4), OBS_TEXT_BAD);
    assert_int_equal(obs_text_unhex("009fa0fg", 8, back, 4), OBS_TEXT_BAD);
    assert_int_equal(back[0], 1); /* untouched by refusals */
    assert_int_equal(obs_text_unhex(text, 8, back, 4), OBS_TEXT_OK);
    assert_memory_equal(back, bytes, 4);
}

static void reads_durations_exactly(void **state)
{
    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {{"250ms", 250000000},
                {"1.5s", 1500000000},
                {"2m", 120000000000},
                {"1h", 3600000000000},
                {"7ns", 7},
                {"0.1us", 100},
                {"0s", 0},
                {"0.000000001s", 1},
                {"18446744073709551615ns", UINT64_MAX}};
    uint64_t ns;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(obs_text_parse_duration(good[i].text, &ns), OBS_TEXT_OK);
        assert_true(ns == good[i].ns);
    }
}

static void refuses_durations_without_unit_or_number(void **state)
{
    static const char *const bad[] = {"",     "5",    "ms",  ".5s",    "1.s",  "-1s",
                                      "+1s",  "1 s",  "1s ", "1S",     "1d",   "1m30s",
                                      "1e3s", "1,5s", "1sx", "1.2.3s", "0x1s", "1.0000000001s"};
    uint64_t ns = 5;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(obs_text_parse_duration(bad[i], &ns), OBS_TEXT_BAD);
    assert_int_equal(obs_text_parse_duration("18446744073709551616ns", &ns), OBS_TEXT_RANGE);
    assert_int_equal(obs_text_parse_duration("9999999999h", &ns), OBS_TEXT_RANGE);
    assert_int_equal(ns, 5);
}

static void knows_utf8_from_other_bytes(void **state)
{
    static const char *const good[] = {"",
                                       "plain",
                                       "\xC2\x80",
                                       "\xDF\xBF",
                                       "\xE0\xA0\x80",
                                       "\xED\x9F\xBF",
                                       "\xEF\xBF\xBF",
                                       "\xF0\x90\x80\x80",
                                       "\xF4\x8F\xBF\xBF"};
    static const char *const bad[] = {"\x80",
                                      "\xC0\x80",
                                      "\xC1\xBF",
                                      "\xC2",
                                      "\xC2\x41",
                                      "\xE0\x9F\xBF",
                                      "\xED\xA0\x80",
                                      "\xE2\x82",
                                      "\xF0\x8F\xBF\xBF",
                                      "\xF4\x90\x80\x80",
                                      "\xF5\x80\x80\x80",
                                      "\xFF",
                                      "a\xE2\x28\xA1"};

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(obs_text_is_utf8(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(obs_text_is_utf8(bad[i], strlen(bad[i])));
    assert_false(obs_text_is_utf8("\xE2\x82\xAC", 2)); /* the size cuts the character */
}

static void compares_names_without_case_in_ascii_only(void **state)
{
    assert_true(obs_text_equal_nocase("Content-LENGTH", 14, "content-length"));
    assert_false(obs_text_equal_nocase("Content-LENGTHX", 15, "content-length"));
    assert_false(obs_text_equal_nocase("Content", 7, "content-length"));
    assert_false(obs_text_equal_nocase("\xC4", 1, "\xE4"));
    assert_false(obs_text_equal_nocase("@", 1, "`"));
}

static void reads_json_numbers_only(void **state)
{
    static const char *const bad[] = {"",     "-",   "+1",  "01", ".5", "1.",  "1e", "1e+",
                                      "0x10", "nan", "inf", " 1", "1 ", "1,5", "--1"};
    double value = 7;

    assert_int_equal(obs_text_parse_number("-12.5e-1", 8, &value), OBS_TEXT_OK);
    assert_true(value == -1.25);
    assert_int_equal(obs_text_parse_number("0", 1, &value), OBS_TEXT_OK);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(obs_text_parse_number(bad[i], strlen(bad[i]), &value), OBS_TEXT_BAD);
    assert_int_equal(obs_text_parse_number("1e999", 5, &value), OBS_TEXT_RANGE);
    assert_true(value == 0);
}

static void writes_numbers_that_read_back_equal(void **state)
{
    static const double values[] = {0,       0.1,     0.2,     1.0 / 3,  123456789.123456789,
                                    DBL_MAX, DBL_MIN, -0.0025, 4.9e-324, 9007199254740993.0};
    char out[OBS_TEXT_NUMBER_SIZE];
    double back;

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        obs_text_number(values[i], out);
        assert_int_equal(obs_text_parse_number(out, strlen(out), &back), OBS_TEXT_OK);
        assert_true(back == values[i]);
    }
    assert_string_equal(obs_text_number(0.2, out), "0.2");
    assert_string_equal(obs_text_number(86400, out), "86400");
    assert_string_equal(obs_text_number(NAN, out), "NaN");
    assert_string_equal(obs_text_number(INFINITY, out), "+Inf");
    assert_string_equal(obs_text_number(-INFINITY, out), "-Inf");
}

static void numbers_do_not_depend_on_the_locale(void **state)
{
    static const char *const locales[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "ps_AF", "ar_EG.UTF-8"};
    char out[OBS_TEXT_NUMBER_SIZE];
    double value;

    for (size_t i = 0; i < sizeof(locales) / sizeof(locales[0]); i++) {
        if (!setlocale(LC_ALL, locales[i]))
            continue; /* not installed here */
        assert_string_equal(obs_text_number(0.25, out), "0.25");
        assert_int_equal(obs_text_parse_number("0.25", 4, &value), OBS_TEXT_OK);
        assert_true(value == 0.25);
    }
    setlocale(LC_ALL, "C");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_decimal_digits_only),
        cmocka_unit_test(tells_what_does_not_fit_from_what_is_no_number),
        cmocka_unit_test(reads_no_byte_past_the_size),
        cmocka_unit_test(decodes_percent_escapes),
        cmocka_unit_test(refuses_bad_escapes_and_nul),
        cmocka_unit_test(decodes_into_exactly_enough_room),
        cmocka_unit_test(encodes_all_but_unreserved_characters),
        cmocka_unit_test(hex_goes_both_ways),
        cmocka_unit_test(reads_durations_exactly),
        cmocka_unit_test(refuses_durations_without_unit_or_number),
        cmocka_unit_test(knows_utf8_from_other_bytes),
        cmocka_unit_test(compares_names_without_case_in_ascii_only),
        cmocka_unit_test(reads_json_numbers_only),
        cmocka_unit_test(writes_numbers_that_read_back_equal),
        cmocka_unit_test(numbers_do_not_depend_on_the_locale),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
