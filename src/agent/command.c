#include "agent/command.h"

#include "agent/process.h"
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

struct command {
    struct reaper *reaper;
    struct event *output, *timer;
    int fd;
    pid_t pid; /* 0: not running */
    size_t size;
    struct command_result result;
    command_done_fn *done;
    void *userdata;
};

static struct command *command_free(struct command *c)
{
    if (!c)
        return NULL;
    if (c->output)
        event_free(c->output);
    if (c->timer)
        event_free(c->timer);
    if (c->fd >= 0)
        close(c->fd);
    free(c);
    return NULL;
}

static void read_output(struct command *c)
{
    char data[1024];
    ssize_t n;

    while ((n = read(c->fd, data, sizeof(data))) > 0) {
        size_t size = (size_t)n, over;

        over = c->size + size > COMMAND_OUTPUT_MAX ? c->size + size - COMMAND_OUTPUT_MAX : 0;
        memmove(c->result.output, c->result.output + over, c->size - over);
        memcpy(c->result.output + c->size - over, data, size);
        c->size += size - over;
    }
    if (n == 0)
        event_del(c->output);
    c->result.output[c->size] = '\0';
}

static void on_output(evutil_socket_t fd, short what, void *userdata)
{
    read_output(userdata);
}

static void finish(struct command *c)
{
    command_done_fn *done = c->done;
    void *userdata = c->userdata;
    struct command_result result = c->result;

    command_free(c);
    done(&result, userdata);
}

static void on_end(pid_t pid, int status, const struct rusage *usage, void *userdata)
{
    struct command *c = userdata;

    c->pid = 0;
    read_output(c);
    c->result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    finish(c);
}

static void on_timer(evutil_socket_t fd, short what, void *userdata)
{
    struct command *c = userdata;

    if (c->pid == 0) { /* it never started */
        finish(c);
        return;
    }
    c->result.is_timeout = true;
    kill(-c->pid, SIGKILL);
}

static int run(struct command *c, const struct command_plan *plan, int output_fd)
{
    struct process_plan process = {.argv = plan->argv,
                                   .environment = plan->environment,
                                   .directory = plan->directory,
                                   .output_fd = output_fd,
                                   .death_signal = SIGKILL};
    struct timeval timeout = {plan->timeout_ms / 1000, plan->timeout_ms % 1000 * 1000};
    struct timeval at_once = {0, 0};
    struct obs_reason why = {0};

    c->result.exit_code = -1;
    if (process_spawn(&process, &c->pid, &why) != 0) {
        snprintf(c->result.output, sizeof(c->result.output), "%s", why.text);
        return event_add(c->timer, &at_once) < 0 ? -ENOMEM : 0;
    }
    if (reaper_watch(c->reaper, c->pid, on_end, c) < 0) {
        kill(-c->pid, SIGKILL);
        return -ENOMEM;
    }
    event_add(c->output, NULL);
    event_add(c->timer, &timeout);
    return 0;
}

int command_start(struct event_base *base, struct reaper *reaper, const struct command_plan *plan,
                  command_done_fn *done, void *userdata, struct command **ret_command)
{
    struct command *c = calloc(1, sizeof(*c));
    int ends[2], r;

    if (!c)
        return -ENOMEM;
    if (pipe2(ends, O_CLOEXEC) < 0) {
        free(c);
        return -errno;
    }
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    c->reaper = reaper;
    c->fd = ends[0];
    c->done = done;
    c->userdata = userdata;
    c->output = event_new(base, c->fd, EV_READ | EV_PERSIST, on_output, c);
    c->timer = evtimer_new(base, on_timer, c);
    r = c->output && c->timer ? run(c, plan, ends[1]) : -ENOMEM;
    close(ends[1]);
    if (r < 0) {
        command_free(c);
        return r;
    }
    *ret_command = c;
    return 0;
}

struct command *command_cancel(struct command *c)
{
    if (!c)
        return NULL;
    if (c->pid > 0) {
        reaper_forget(c->reaper, c->pid);
        kill(c->pid, SIGKILL); /* it may not lead its group yet */
        kill(-c->pid, SIGKILL);
    }
    return command_free(c);
}

void command_last_line(const char *output, char *out, size_t capacity)
{
    size_t end = strlen(output), start;

    while (end > 0 && strchr("\n\r \t", output[end - 1]))
        end--;
    for (start = end; start > 0 && output[start - 1] != '\n'; start--)
        ;
    snprintf(out, capacity, "%.*s", (int)(end - start), output + start);
}
