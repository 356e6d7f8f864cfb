#pragma once
/*
 * Script: what the virtual users do, read from a JSON file (scenarios/load/NAME.json;
 * docs/load.md).
 *
 * A script is read once and never changes while it runs. What changes while it runs, the rate and
 * the mix, is the plan (load/plan.h); the script holds the plan's first values.
 */
#include "load/check.h"
#include "load/pattern.h"
#include "load/schedule.h"
#include "load/template.h"
#include "load/variable.h"

#define SCRIPT_JOURNEYS_MAX 32
#define SCRIPT_STEPS_MAX 32
#define SCRIPT_CHECKS_MAX 16
#define SCRIPT_USERS_MAX 1000000

/* Where a reply's value comes from, and the variable that keeps it. */
struct extract {
    enum { EXTRACT_JSON, EXTRACT_HEADER, EXTRACT_COOKIE } from;
    char *name; /* JSON pointer, header in lower case, cookie */
    unsigned variable;
};

enum retry_cause { RETRY_TIMEOUT = 1, RETRY_CONNECTION = 2, RETRY_5XX = 4, RETRY_4XX = 8 };

struct status_range {
    int low, high;
};

struct step {
    char *name;
    char *method;
    bool is_head;       /* HEAD: the reply has no body */
    bool is_idempotent; /* may be sent again when a kept connection turns out to be closed */
    struct template *target, *headers, *body; /* headers: whole lines; NULL for none */
    struct status_range accept[8];
    unsigned accept_count;
    struct check *checks[SCRIPT_CHECKS_MAX];
    unsigned check_count;
    struct extract extracts[SCRIPT_CHECKS_MAX];
    unsigned extract_count;
    struct check *until; /* poll: repeated until this holds; NULL: once */
    uint64_t every_ns, until_limit_ns;
    unsigned attempts; /* 1: no retry */
    unsigned retry_on; /* enum retry_cause bits */
    uint64_t backoff_ns;
    uint64_t timeout_ns;
    uint64_t think_low_ns, think_high_ns; /* pause before the step */
    int accepted_order; /* variable whose value is handed to the order_conservation probe; -1 */
    bool needs_body;    /* something looks into the body */
    bool needs_json;
};

struct journey {
    char *name;
    unsigned group; /* index in script.groups: the `journey` label of metrics */
    double weight;  /* share of arrivals, as the file says */
    struct step *steps;
    unsigned step_count;
    int then; /* journey the same user begins when this one is ok; -1: none */
    double then_share;
};

struct script {
    char *name;
    struct journey *journeys;
    unsigned journey_count;
    char *groups[SCRIPT_JOURNEYS_MAX];
    unsigned group_count;
    struct variable_table variables;
    unsigned step_total; /* steps of all journeys; statistics are kept per step */
    /* First values of the plan, and of options that the command line may set. */
    struct pattern *pattern; /* NULL: the file has none */
    enum schedule_arrivals arrivals;
    uint64_t seed;
    unsigned users;
    double trace_sample;
};

enum script_outcome {
    SCRIPT_OK = 0,
    SCRIPT_REFUSED = 1, /* reason: "FILE: journeys[1].steps[0].method is …: expected …" */
};

/* Return: 0, SCRIPT_REFUSED, -ENOMEM. */
int script_load(const char *path, struct script **ret_script, struct obs_reason *reterr_reason);
/* @folder: for a replay's file; NULL refuses files. */
int script_parse(const char *text, size_t size, const char *folder, struct script **ret_script,
                 struct obs_reason *reterr_reason);

/* One journey of one GET (or what the rest says) for `observa-load run URL`. */
struct script_single {
    const char *method, *target, *body, *content_type;
    const char *const *headers; /* "Name: value"; NULL-terminated; NULL for none */
    uint64_t timeout_ns, think_ns;
};
int script_single(const struct script_single *single, struct script **ret_script,
                  struct obs_reason *reterr_reason);
struct script *script_free(struct script *script);

/* Index of the journey of that name, or -1. */
int script_find(const struct script *script, const char *name);
OBS_DEFINE_CLEANUP(struct script *, script_free)
