#pragma once
/*
 * Agent rig: a real observa-agent on a unit table of the test's own, in a folder that goes away.
 *
 * Waiting is always for a state, with a deadline of RIG_PATIENCE_MS. Processes are counted by the
 * rig's folder in their environment or arguments, so that nothing that was started can hide.
 */
#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#define RIG_PATIENCE_MS 20000

struct agent_rig {
    const char *program;
    char folder[40], run[60], state[60], units[60], agent_socket[80], admin_socket[80];
    char *token;
    pid_t pid;             /* of the program: the guard */
    int output;            /* its standard output and error: FOLDER/agent.out */
    bool is_files_limited; /* nothing can be written to files */
};

struct rig_reply {
    int status;
    char content_type[80], challenge[400];
    char *body;   /* NUL-terminated */
    json_t *json; /* NULL when the body is none */
};
void rig_reply_done(struct rig_reply *reply);
#define RIG_REPLY __attribute__((cleanup(rig_reply_done))) struct rig_reply

void rig_make(struct agent_rig *rig, const char *program);
void rig_units(struct agent_rig *rig, const char *yaml);                   /* write the table */
void rig_write(struct agent_rig *rig, const char *name, const char *text); /* FOLDER/name */
char *rig_read(struct agent_rig *rig, const char *name); /* to be freed; "" when absent */
void rig_launch(struct agent_rig *rig);                  /* run the program, do not wait */
void rig_start(struct agent_rig *rig); /* launch, and wait until the API answers */
int rig_join(struct agent_rig *rig);   /* wait for its end; exit status, or 128 + signal */
void rig_stop(struct agent_rig *rig);  /* shutdown over the API; fails when processes are left */
void rig_done(struct agent_rig *rig);  /* stop if it runs, remove the folder */

/* @body NULL: none; @token NULL: the good one, "": none. */
void rig_call(struct agent_rig *rig, const char *method, const char *target, const char *body,
              const char *token, struct rig_reply *ret_reply);
void rig_admin(struct agent_rig *rig, const char *target, struct rig_reply *ret_reply);
int rig_post(struct agent_rig *rig, const char *target, const char *body); /* status */

pid_t rig_agent_pid(struct agent_rig *rig); /* of the agent itself, below its guard */
pid_t rig_unit_pid(struct agent_rig *rig, const char *unit); /* 0: does not run */
long rig_unit_number(struct agent_rig *rig, const char *unit, const char *field);
void rig_wait_state(struct agent_rig *rig, const char *unit, const char *state);
void rig_wait_new_pid(struct agent_rig *rig, const char *unit, pid_t old);
void rig_wait_file(struct agent_rig *rig, const char *name, const char *text); /* holds @text */
/* Processes of the rig, guard and agent too. */
size_t rig_processes(struct agent_rig *rig);
void rig_wait_processes(struct agent_rig *rig, size_t count);
void rig_moment(void); /* a pause of 5 ms between two looks */
