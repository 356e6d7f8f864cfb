#include "agent/ledger.h"

#include "agent/files.h"
#include "agent/proc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#define LEDGER_BYTES_MAX 262144
#define LEDGER_END_MS 5000
#define LEDGER_DYING_MS 500 /* a process that was killed is there for a moment */
#define ENVIRON_MAX 65536   /* bytes of an environment that are looked at */

/* ---- lock ---- */

static void read_holder(int fd, int *ret_pid, unsigned long long *ret_start)
{
    char text[64] = "";
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

    *ret_pid = 0;
    if (n > 0)
        sscanf(text, "%d %llu", ret_pid, ret_start);
}

int ledger_lock(const char *state_path, unsigned wait_ms, int *ret_fd,
                struct obs_reason *reterr_reason)
{
    uint64_t deadline = obs_mono_ns() + wait_ms * OBS_NS_PER_MS;
    uint64_t patience = obs_mono_ns() + LEDGER_DYING_MS * OBS_NS_PER_MS;
    OBS_CLEANUP(obs_closep) int fd = -1;
    char path[PATH_MAX];
    bool is_held;

    snprintf(path, sizeof(path), "%s/agent.lock", state_path);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        obs_reason_set(reterr_reason, "cannot write %s: %s", path, strerror(errno));
        return LEDGER_REFUSED;
    }
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        unsigned long long start = 0;
        int pid;

        read_holder(fd, &pid, &start);
        if (errno != EWOULDBLOCK && errno != EINTR) {
            obs_reason_set(reterr_reason, "cannot lock %s: %s", path, strerror(errno));
            return LEDGER_REFUSED;
        }
        is_held = pid > 0 && proc_is_alive(pid, start);
        if (obs_mono_ns() >= (is_held ? patience : deadline)) {
            obs_reason_set(reterr_reason, "another agent (process %d) runs on %s", pid, state_path);
            return LEDGER_REFUSED;
        }
        obs_sleep_ns(20 * OBS_NS_PER_MS);
    }
    *ret_fd = OBS_TAKE_FD(fd);
    return 0;
}

int ledger_sign(int lock_fd, const char *state_path, struct obs_reason *reterr_reason)
{
    struct proc_stat self;
    char text[64];
    int size;

    if (proc_stat_read(getpid(), &self) < 0) {
        obs_reason_set(reterr_reason, "cannot read /proc/self/stat");
        return LEDGER_REFUSED;
    }
    size = snprintf(text, sizeof(text), "%d %llu\n", (int)self.pid,
                    (unsigned long long)self.start_ticks);
    if (ftruncate(lock_fd, 0) < 0 || pwrite(lock_fd, text, (size_t)size, 0) != size) {
        obs_reason_set(reterr_reason, "cannot write %s/agent.lock: %s", state_path,
                       strerror(errno));
        return LEDGER_REFUSED;
    }
    return 0;
}

/* ---- processes ---- */

/* Numbers and start times mean nothing after a reboot. */
static void read_boot_id(char out[64])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, out, 63);

    if (fd >= 0)
        close(fd);
    out[n > 0 ? n : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
}

int ledger_write(const char *state_path, const struct ledger_entry *entries, size_t count)
{
    struct obs_buffer b = OBS_BUFFER_INIT(LEDGER_BYTES_MAX);
    char path[PATH_MAX], boot_id[64];
    int r;

    read_boot_id(boot_id);
    snprintf(path, sizeof(path), "%s/pids.json", state_path);
    obs_buffer_printf(&b, "{\"boot_id\":\"%s\",\"processes\":[", boot_id);
    for (size_t i = 0; i < count; i++)
        obs_buffer_printf(&b, "%s\n{\"unit\":\"%s\",\"pid\":%d,\"start\":%llu}", i ? "," : "",
                          entries[i].unit, (int)entries[i].pid,
                          (unsigned long long)entries[i].start_ticks);
    r = obs_buffer_append_text(&b, "]}\n");
    if (r == 0)
        r = files_replace(path, b.data, b.size, 0600, NULL);
    obs_buffer_done(&b);
    return r;
}

static void kill_session(pid_t session)
{
    struct dirent *entry;
    DIR *proc = opendir("/proc");

    while (proc && (entry = readdir(proc))) {
        struct proc_stat stat;

        if (isdigit((unsigned char)entry->d_name[0]) &&
            proc_stat_read(atoi(entry->d_name), &stat) == 0 && stat.session == session)
            kill(stat.pid, SIGKILL);
    }
    if (proc)
        closedir(proc);
}

static int end_process(pid_t pid, uint64_t start_ticks, const char *unit,
                       struct obs_reason *reterr_reason)
{
    uint64_t deadline = obs_mono_ns() + LEDGER_END_MS * OBS_NS_PER_MS;
    pid_t tree[PROC_TREE_MAX];
    size_t count = proc_tree(pid, 0, tree, PROC_TREE_MAX);

    for (size_t i = 0; i < count; i++)
        kill(tree[i], SIGKILL);
    while (proc_is_alive(pid, start_ticks)) {
        if (obs_mono_ns() >= deadline) {
            obs_reason_set(reterr_reason,
                           "process %d (%s) of an earlier agent cannot be ended: stop it by hand",
                           (int)pid, unit);
            return LEDGER_REFUSED;
        }
        kill(pid, SIGKILL);
        obs_sleep_ns(5 * OBS_NS_PER_MS);
    }
    return 0;
}

static int clean(const json_t *document, size_t *ret_ended, struct obs_reason *reterr_reason)
{
    const char *recorded = json_string_value(json_object_get(document, "boot_id"));
    char boot_id[64];
    json_t *entry;
    size_t i;

    read_boot_id(boot_id);
    if (!recorded || strcmp(recorded, boot_id) != 0)
        return 0;
    json_array_foreach (json_object_get(document, "processes"), i, entry) {
        pid_t pid = (pid_t)json_integer_value(json_object_get(entry, "pid"));
        uint64_t start = (uint64_t)json_integer_value(json_object_get(entry, "start"));
        const char *unit = json_string_value(json_object_get(entry, "unit"));
        struct proc_stat stat;
        int r;

        if (pid <= 1)
            continue;
        /* The leader may be gone while its session lives; a session's number is not given to a new
         * process as long as anybody is in it. */
        if (proc_stat_read(pid, &stat) == 0 && stat.start_ticks != start)
            continue;
        if (proc_is_alive(pid, start)) {
            r = end_process(pid, start, unit ? unit : "?", reterr_reason);
            if (r != 0)
                return r;
            ++*ret_ended;
        }
        kill_session(pid);
    }
    return 0;
}

/* Does the environment that @pid was started with hold the entry @mark[size] (with its NUL)? */
static bool is_marked(pid_t pid, const char *mark, size_t size)
{
    char path[64], data[ENVIRON_MAX];
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? 0 : read(fd, data, sizeof(data));
    if (fd >= 0)
        close(fd);
    for (const char *at = data; n > 0 && (at = memmem(at, (size_t)(data + n - at), mark, size));
         at++)
        if (at == data || at[-1] == '\0')
            return true;
    return false;
}

static size_t kill_marked(const char *mark, size_t size)
{
    struct dirent *entry;
    DIR *proc = opendir("/proc");
    size_t killed = 0;

    while (proc && (entry = readdir(proc))) {
        pid_t pid = atoi(entry->d_name);

        if (pid > 1 && pid != getpid() && pid != getppid() && is_marked(pid, mark, size))
            killed += kill(pid, SIGKILL) == 0;
    }
    if (proc)
        closedir(proc);
    return killed;
}

/* Those that left their session after their leader had died. */
static size_t end_marked(const char *state_path)
{
    uint64_t deadline = obs_mono_ns() + LEDGER_END_MS * OBS_NS_PER_MS;
    char mark[PATH_MAX + 32];
    size_t size = (size_t)snprintf(mark, sizeof(mark), LEDGER_MARK "=%s", state_path) + 1;
    size_t ended = kill_marked(mark, size), left = ended;

    while (left > 0 && obs_mono_ns() < deadline) {
        obs_sleep_ns(5 * OBS_NS_PER_MS);
        left = kill_marked(mark, size); /* zombies have no environment any more */
    }
    return ended;
}

int ledger_clean(const char *state_path, size_t *ret_ended, struct obs_reason *reterr_reason)
{
    struct obs_buffer b = OBS_BUFFER_INIT(LEDGER_BYTES_MAX);
    OBS_JSON document = NULL;
    char path[PATH_MAX];
    int r = 0;

    *ret_ended = 0;
    snprintf(path, sizeof(path), "%s/pids.json", state_path);
    /* A damaged or missing ledger names nobody. */
    if (obs_file_read(path, &b) == 0 && obs_json_parse(b.data, b.size, &document, NULL) == 0)
        r = clean(document, ret_ended, reterr_reason);
    if (r == 0)
        *ret_ended += end_marked(state_path);
    obs_buffer_done(&b);
    return r;
}
