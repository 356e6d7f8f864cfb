#include "support/agent_rig.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/http_client.h"
#include "base/json.h"
#include "support/agent_token.h"
#include "support/test.h"
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- folder ---- */

static void join(char *out, size_t capacity, const char *folder, const char *name)
{
    assert_true(snprintf(out, capacity, "%s/%s", folder, name) < (int)capacity);
}

void rig_make(struct agent_rig *rig, const char *program)
{
    *rig = (struct agent_rig){.program = program, .output = -1};
    strcpy(rig->folder, "/tmp/agent-rig-XXXXXX");
    assert_non_null(mkdtemp(rig->folder));
    join(rig->run, sizeof(rig->run), rig->folder, "run");
    join(rig->state, sizeof(rig->state), rig->folder, "state");
    join(rig->units, sizeof(rig->units), rig->folder, "units.yaml");
    join(rig->agent_socket, sizeof(rig->agent_socket), rig->run, "agent.sock");
    join(rig->admin_socket, sizeof(rig->admin_socket), rig->run, "agent-admin.sock");
    agent_token_make_keys(rig->folder);
    rig->token = agent_token_good(rig->folder, "solo");
}

void rig_write(struct agent_rig *rig, const char *name, const char *text)
{
    char path[PATH_MAX];
    FILE *file;

    join(path, sizeof(path), rig->folder, name);
    file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

char *rig_read(struct agent_rig *rig, const char *name)
{
    struct obs_buffer b = OBS_BUFFER_INIT(1 << 24);
    char path[PATH_MAX];

    join(path, sizeof(path), rig->folder, name);
    obs_file_read(path, &b);
    obs_buffer_append(&b, "", 1);
    return b.data;
}

void rig_units(struct agent_rig *rig, const char *yaml)
{
    rig_write(rig, "units.yaml", yaml);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    return remove(path);
}

void rig_done(struct agent_rig *rig)
{
    if (rig->pid > 0)
        rig_stop(rig);
    if (rig->output >= 0)
        close(rig->output);
    nftw(rig->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(rig->token);
}

/* ---- the program ---- */

static void become_agent(struct agent_rig *rig)
{
    char listen[100], admin[100], key[100], folder[100];
    char *argv[] = {(char *)rig->program,
                    "--tenant=solo",
                    "--units",
                    rig->units,
                    "--run",
                    rig->run,
                    "--state",
                    rig->state,
                    "--dist=/usr",
                    "--listen",
                    listen,
                    "--admin",
                    admin,
                    "--public-key",
                    key,
                    folder,
                    NULL};

    snprintf(listen, sizeof(listen), "unix:%s", rig->agent_socket);
    snprintf(admin, sizeof(admin), "unix:%s", rig->admin_socket);
    snprintf(key, sizeof(key), "%s/public.pem", rig->folder);
    snprintf(folder, sizeof(folder), "folder=%s", rig->folder);
    if (rig->is_files_limited) {
        struct rlimit none = {0, 0};

        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &none);
    } else {
        dup2(rig->output, STDOUT_FILENO);
        dup2(rig->output, STDERR_FILENO);
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* a test that fails takes its agent along */
    execv(rig->program, argv);
    _exit(127);
}

void rig_launch(struct agent_rig *rig)
{
    char path[PATH_MAX];

    join(path, sizeof(path), rig->folder, "agent.out");
    if (rig->output >= 0)
        close(rig->output);
    rig->output = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(rig->output >= 0);
    rig->pid = fork();
    assert_true(rig->pid >= 0);
    if (rig->pid == 0)
        become_agent(rig);
}

static void tell_output(struct agent_rig *rig)
{
    char *text = rig_read(rig, "agent.out");

    fprintf(stderr, "%s\n", text);
    free(text);
}

static bool is_patient(uint64_t since)
{
    return obs_mono_ns() - since < RIG_PATIENCE_MS * OBS_NS_PER_MS;
}

void rig_moment(void)
{
    obs_sleep_ns(5 * OBS_NS_PER_MS);
}

/* ---- calls ---- */

void rig_reply_done(struct rig_reply *reply)
{
    free(reply->body);
    if (reply->json)
        json_decref(reply->json);
}

static void copy_header(const struct obs_http_reply_data *data, const char *name, char *out,
                        size_t capacity)
{
    const struct obs_span_text *value = obs_http1_find(&data->parsed, name);

    snprintf(out, capacity, "%.*s", value ? (int)value->size : 0, value ? value->text : "");
}

static int call(const char *socket, const char *method, const char *target, const char *body,
                const char *token, struct rig_reply *ret_reply)
{
    struct obs_http_client_options options = {.idle_max = 1};
    OBS_CLEANUP(obs_http_client_freep) struct obs_http_client *client = NULL;
    OBS_HTTP_REPLY data = {0};
    struct obs_http_call_header authorization = {"Authorization", NULL};
    struct obs_http_call request = {.method = method,
                                    .target = target,
                                    .body = body,
                                    .body_size = body ? strlen(body) : 0,
                                    .content_type = body ? "application/json" : NULL,
                                    .timeout_ms = RIG_PATIENCE_MS};
    char address[160], bearer[4200];
    int r;

    *ret_reply = (struct rig_reply){0};
    snprintf(address, sizeof(address), "unix:%s", socket);
    assert_int_equal(obs_address_parse(address, &options.address, NULL), 0);
    snprintf(bearer, sizeof(bearer), "Bearer %s", token);
    authorization.value = bearer;
    if (*token) {
        request.headers = &authorization;
        request.header_count = 1;
    }
    assert_int_equal(obs_http_client_new(&options, &client), 0);
    r = obs_http_client_call(client, &request, &data);
    if (r < 0)
        return r;
    ret_reply->status = data.status;
    copy_header(&data, "content-type", ret_reply->content_type, sizeof(ret_reply->content_type));
    copy_header(&data, "www-authenticate", ret_reply->challenge, sizeof(ret_reply->challenge));
    ret_reply->body = strndup(data.body.data ? data.body.data : "", data.body.size);
    obs_json_parse(ret_reply->body, data.body.size, &ret_reply->json, NULL);
    return 0;
}

void rig_call(struct agent_rig *rig, const char *method, const char *target, const char *body,
              const char *token, struct rig_reply *ret_reply)
{
    int r = call(rig->agent_socket, method, target, body, token ? token : rig->token, ret_reply);

    if (r < 0) {
        tell_output(rig);
        fail_msg("%s %s: %s", method, target, strerror(-r));
    }
}

void rig_admin(struct agent_rig *rig, const char *target, struct rig_reply *ret_reply)
{
    assert_int_equal(call(rig->admin_socket, "GET", target, NULL, "", ret_reply), 0);
}

int rig_post(struct agent_rig *rig, const char *target, const char *body)
{
    RIG_REPLY reply;

    rig_call(rig, "POST", target, body, NULL, &reply);
    return reply.status;
}

void rig_start(struct agent_rig *rig)
{
    uint64_t since = obs_mono_ns();

    rig_launch(rig);
    for (;;) {
        RIG_REPLY reply;

        if (call(rig->agent_socket, "GET", "/v1/status", NULL, rig->token, &reply) == 0 &&
            reply.status == 200)
            return;
        if (!is_patient(since) || waitpid(rig->pid, NULL, WNOHANG) != 0) {
            tell_output(rig);
            fail_msg("the agent did not start");
        }
        rig_moment();
    }
}

int rig_join(struct agent_rig *rig)
{
    uint64_t since = obs_mono_ns();
    int status;

    while (waitpid(rig->pid, &status, WNOHANG) == 0) {
        if (!is_patient(since)) {
            tell_output(rig);
            kill(rig->pid, SIGKILL);
            fail_msg("the agent did not end");
        }
        rig_moment();
    }
    rig->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void rig_stop(struct agent_rig *rig)
{
    int status;

    assert_int_equal(rig_post(rig, "/v1/shutdown", NULL), 202);
    status = rig_join(rig);
    if (status != 0 || rig_processes(rig) != 0)
        tell_output(rig);
    assert_int_equal(status, 0);
    assert_int_equal(rig_processes(rig), 0);
}

/* ---- units ---- */

pid_t rig_agent_pid(struct agent_rig *rig)
{
    RIG_REPLY reply;

    rig_call(rig, "GET", "/v1/status", NULL, NULL, &reply);
    return (pid_t)json_integer_value(json_object_get(reply.json, "pid"));
}

long rig_unit_number(struct agent_rig *rig, const char *unit, const char *field)
{
    RIG_REPLY reply;
    char target[100];

    snprintf(target, sizeof(target), "/v1/units/%s", unit);
    rig_call(rig, "GET", target, NULL, NULL, &reply);
    assert_int_equal(reply.status, 200);
    return (long)json_integer_value(json_object_get(reply.json, field));
}

pid_t rig_unit_pid(struct agent_rig *rig, const char *unit)
{
    return (pid_t)rig_unit_number(rig, unit, "pid");
}

void rig_wait_state(struct agent_rig *rig, const char *unit, const char *state)
{
    uint64_t since = obs_mono_ns();
    char target[100];

    snprintf(target, sizeof(target), "/v1/units/%s", unit);
    for (;;) {
        RIG_REPLY reply;

        rig_call(rig, "GET", target, NULL, NULL, &reply);
        assert_int_equal(reply.status, 200);
        if (strcmp(json_string_value(json_object_get(reply.json, "state")), state) == 0)
            return;
        if (!is_patient(since)) {
            tell_output(rig);
            fail_msg("%s is not %s but: %s", unit, state, reply.body);
        }
        rig_moment();
    }
}

void rig_wait_new_pid(struct agent_rig *rig, const char *unit, pid_t old)
{
    uint64_t since = obs_mono_ns();

    while (rig_unit_pid(rig, unit) == old || rig_unit_pid(rig, unit) == 0) {
        if (!is_patient(since)) {
            tell_output(rig);
            fail_msg("%s did not come back", unit);
        }
        rig_moment();
    }
    rig_wait_state(rig, unit, "running");
}

void rig_wait_file(struct agent_rig *rig, const char *name, const char *text)
{
    uint64_t since = obs_mono_ns();

    for (;;) {
        char *found = rig_read(rig, name);
        bool is_there = strstr(found, text) != NULL;

        if (!is_there && !is_patient(since))
            fail_msg("%s does not hold \"%s\" but \"%s\"", name, text, found);
        free(found);
        if (is_there)
            return;
        rig_moment();
    }
}

/* ---- processes ---- */

static bool file_holds(const char *pid, const char *file, const char *text)
{
    char path[64], data[32768];
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/%.10s/%s", pid, file);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? 0 : read(fd, data, sizeof(data));
    if (fd >= 0)
        close(fd);
    return n > 0 && memmem(data, (size_t)n, text, strlen(text));
}

size_t rig_processes(struct agent_rig *rig)
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    size_t count = 0;

    while ((entry = readdir(proc)))
        if (isdigit((unsigned char)entry->d_name[0]) &&
            (file_holds(entry->d_name, "environ", rig->folder) ||
             file_holds(entry->d_name, "cmdline", rig->folder)))
            count++;
    closedir(proc);
    return count;
}

void rig_wait_processes(struct agent_rig *rig, size_t count)
{
    uint64_t since = obs_mono_ns();

    while (rig_processes(rig) != count) {
        if (!is_patient(since)) {
            tell_output(rig);
            fail_msg("%zu processes, expected %zu", rig_processes(rig), count);
        }
        rig_moment();
    }
}
