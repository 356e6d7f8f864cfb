/* The process's own figures, read from the kernel at each collection. proc(5) names the fields. */
#include "base/clock.h"
#include "base/file.h"
#include "otel/metrics.h"
#include "otel/names.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define PROC_FILE_MAX 65536

static double timeval_seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static unsigned open_fds(void)
{
    DIR *folder = opendir("/proc/self/fd");
    unsigned count = 0;

    if (!folder)
        return 0;
    while (readdir(folder))
        count++;
    closedir(folder);
    return count - 3; /* ".", "..", and the folder's own */
}

/* Field @number (3 or more) of /proc/self/stat, 0 when unreadable. */
static double stat_field(int number)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer b = OBS_BUFFER_INIT(PROC_FILE_MAX);
    const char *at;

    if (obs_file_read("/proc/self/stat", &b) < 0)
        return 0;
    at = strrchr(b.data, ')'); /* the name before it may hold anything */
    for (int i = 2; at && i < number; i++)
        at = strchr(at + 1, ' ');
    return at ? strtod(at, NULL) : 0;
}

static double boot_time(void)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer b = OBS_BUFFER_INIT(16 * PROC_FILE_MAX);
    const char *line;

    if (obs_file_read("/proc/stat", &b) < 0)
        return 0;
    line = strstr(b.data, "\nbtime ");
    return line ? strtod(line + strlen("\nbtime "), NULL) : 0;
}

static void set_gauge(struct obs_metrics *metrics, enum obs_metric_name name, double value)
{
    struct obs_metric_family *family = obs_metrics_named(metrics, name);

    if (family)
        obs_gauge_set(obs_metric_only(family), value);
}

static void collect(struct obs_metrics *metrics, void *userdata)
{
    struct obs_metric_family *cpu = obs_metrics_named(metrics, OBS_PROCESS_CPU);
    struct rusage usage = {0};

    getrusage(RUSAGE_SELF, &usage);
    if (cpu)
        obs_counter_set(obs_metric_only(cpu),
                        timeval_seconds(usage.ru_utime) + timeval_seconds(usage.ru_stime));
    set_gauge(metrics, OBS_PROCESS_MEMORY, stat_field(24) * (double)sysconf(_SC_PAGESIZE));
    set_gauge(metrics, OBS_PROCESS_THREADS, stat_field(20));
    set_gauge(metrics, OBS_PROCESS_FDS, open_fds());
}

int obs_metrics_add_process(struct obs_metrics *metrics)
{
    set_gauge(metrics, OBS_PROCESS_START,
              boot_time() + stat_field(22) / (double)sysconf(_SC_CLK_TCK));
    return obs_metrics_on_collect(metrics, collect, NULL);
}
