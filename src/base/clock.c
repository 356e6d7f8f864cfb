/* Clock: the kernel's clocks; dates by arithmetic, because gmtime_r() takes the time zone's lock.
 */
#include "base/clock.h"

#include <errno.h>
#include <string.h>
#include <time.h>

static uint64_t read_clock(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * OBS_NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

uint64_t obs_time_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

uint64_t obs_mono_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

void obs_sleep_ns(uint64_t duration_ns)
{
    uint64_t until_ns = obs_mono_ns() + duration_ns;
    struct timespec until = {.tv_sec = (time_t)(until_ns / OBS_NS_PER_SECOND),
                             .tv_nsec = (long)(until_ns % OBS_NS_PER_SECOND)};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        ;
}

static void put_digits(char *out, unsigned count, uint64_t value)
{
    while (count-- > 0) {
        out[count] = (char)('0' + value % 10);
        value /= 10;
    }
}

/* The civil calendar by its 400-year cycle, counted from 1 March so that leap days come last. */
static void put_date(char *out, uint64_t days_since_1970)
{
    uint64_t days = days_since_1970 + 719468; /* since 0000-03-01 */
    uint64_t era = days / 146097, day_of_era = days % 146097;
    uint64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    uint64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint64_t month_from_march = (5 * day_of_year + 2) / 153;
    uint64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;

    put_digits(out, 4, era * 400 + year_of_era + (month <= 2));
    put_digits(out + 5, 2, month);
    put_digits(out + 8, 2, day_of_year - (153 * month_from_march + 2) / 5 + 1);
}

void obs_time_rfc3339(uint64_t time_ns, char out[OBS_RFC3339_SIZE])
{
    uint64_t seconds = time_ns / OBS_NS_PER_SECOND, of_day = seconds % 86400;

    memcpy(out, "0000-00-00T00:00:00.000000Z", OBS_RFC3339_SIZE);
    put_date(out, seconds / 86400);
    put_digits(out + 11, 2, of_day / 3600);
    put_digits(out + 14, 2, of_day / 60 % 60);
    put_digits(out + 17, 2, of_day % 60);
    put_digits(out + 20, 6, time_ns % OBS_NS_PER_SECOND / OBS_NS_PER_US);
}
