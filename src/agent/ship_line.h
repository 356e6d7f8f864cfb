#pragma once
/*
 * Ship line: what the labels and the tenant of a captured line are made from. The line is not
 * changed, and nothing is allocated: texts are spans into it, as they stand there.
 */
#include "agent/unit.h"
#include "base/log.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHIP_TENANT_SIZE 33   /* with its NUL; as `observa` allows */
#define SHIP_SERVICE_SIZE 64  /* with its NUL */
#define SHIP_TRACE_ID_SIZE 33 /* with its NUL */
#define SHIP_SPAN_ID_SIZE 17

struct ship_line {
    uint64_t time_ns;
    enum obs_log_level level;
    char service[SHIP_SERVICE_SIZE];
    char trace_id[SHIP_TRACE_ID_SIZE], span_id[SHIP_SPAN_ID_SIZE]; /* "" when it has none */
    char tenant[SHIP_TENANT_SIZE];                                 /* "": the agent's own */
};

/* A member of the outermost object. A text's span is inside its quotes, escapes as written. */
struct ship_member {
    const char *name, *value;
    size_t name_size, value_size;
};

/* Walk through the members of the object that is all of text[size]; values of members are only
 * skipped over. Return: false when it is no object; @fn may have been called then. */
bool ship_line_walk(const char *text, size_t size,
                    void (*fn)(const struct ship_member *member, void *userdata), void *userdata);

/* @now_ns: when it was captured. */
void ship_line_read(const char *text, size_t size, const struct unit *unit, uint64_t now_ns,
                    struct ship_line *ret_line);

/* Whose line it is, from the names that the server put into it; "" is nobody's in particular. */
void ship_tenant_of_database(const char *database, size_t database_size, const char *user,
                             size_t user_size, char ret_tenant[SHIP_TENANT_SIZE]);
void ship_tenant_of_broker(const char *message, size_t size, char ret_tenant[SHIP_TENANT_SIZE]);
