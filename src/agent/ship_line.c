#include "agent/ship_line.h"

#include "agent/line_text.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include <ctype.h>
#include <string.h>

struct span {
    const char *text;
    size_t size;
};

/* ---- a walk through one object ---- */

static const char *skip_space(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    return at;
}

/* @at behind the opening quote. Return: the closing one, NULL when there is none. */
static const char *text_end(const char *at, const char *end)
{
    while (at < end && *at != '"')
        at += 1 + (*at == '\\');
    return at < end ? at : NULL;
}

/* A number, a word, an object or an array. Return: what follows it. */
static const char *skip_value(const char *at, const char *end)
{
    unsigned depth = 0;

    for (; at < end; at++) {
        if (*at == '"') {
            at = text_end(at + 1, end);
            if (!at)
                return NULL;
        } else if (*at == '{' || *at == '[') {
            depth++;
        } else if (depth == 0 && (*at == ',' || *at == '}' || *at == ' ')) {
            return at;
        } else if (*at == '}' || *at == ']') {
            if (depth-- == 0)
                return NULL;
        }
    }
    return NULL;
}

static const char *walk_member(const char *at, const char *end, struct ship_member *m)
{
    const char *stop;
    bool is_text;

    if (at >= end || *at != '"')
        return NULL;
    m->name = at + 1;
    at = text_end(at + 1, end);
    if (!at)
        return NULL;
    m->name_size = (size_t)(at - m->name);
    at = skip_space(at + 1, end);
    if (at >= end || *at != ':')
        return NULL;
    at = skip_space(at + 1, end);
    is_text = at < end && *at == '"';
    m->value = at + is_text;
    stop = is_text ? text_end(m->value, end) : skip_value(at, end);
    if (!stop || stop == at)
        return NULL;
    m->value_size = (size_t)(stop - m->value);
    return skip_space(stop + is_text, end);
}

bool ship_line_walk(const char *text, size_t size,
                    void (*fn)(const struct ship_member *member, void *userdata), void *userdata)
{
    const char *end = text + size, *at = skip_space(text, end);

    if (at == end || *at != '{')
        return false;
    at = skip_space(at + 1, end);
    if (at < end && *at == '}')
        return skip_space(at + 1, end) == end;
    for (;;) {
        struct ship_member member = {0};

        at = walk_member(at, end, &member);
        if (!at || at == end)
            return false;
        fn(&member, userdata);
        if (*at == '}')
            return skip_space(at + 1, end) == end;
        if (*at != ',')
            return false;
        at = skip_space(at + 1, end);
    }
}

/* ---- tenants ---- */

static bool take_tenant(const char *name, size_t size, char ret_tenant[SHIP_TENANT_SIZE])
{
    static const char LETTERS[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    char tenant[SHIP_TENANT_SIZE];

    if (size == 0 || size >= SHIP_TENANT_SIZE || !islower((unsigned char)*name))
        return false;
    memcpy(tenant, name, size);
    tenant[size] = '\0';
    if (strspn(tenant, LETTERS) != size)
        return false;
    memcpy(ret_tenant, tenant, size + 1);
    return true;
}

/* What is left of "<tenant>_catalog" and "<tenant>_orders"; 0 when it is neither. */
static size_t tenant_size(const char *name, size_t size)
{
    static const char *const ENDS[] = {"_catalog", "_orders"};

    for (size_t i = 0; i < OBS_COUNT(ENDS); i++) {
        size_t end = strlen(ENDS[i]);

        if (size > end && memcmp(name + size - end, ENDS[i], end) == 0)
            return size - end;
    }
    return 0;
}

/* Only what a tenant's own role did in a tenant's own database is that tenant's to read: an
 * administrator's work there is not, and a role that knocks at a door of another is not either. */
void ship_tenant_of_database(const char *database, size_t database_size, const char *user,
                             size_t user_size, char ret_tenant[SHIP_TENANT_SIZE])
{
    size_t size = tenant_size(database, database_size);

    if (size == 0 || tenant_size(user, user_size) != size || memcmp(database, user, size) != 0 ||
        !take_tenant(database, size, ret_tenant))
        ret_tenant[0] = '\0';
}

/* All of "WORD 'x'" and "WORD: 'x'" in the message. Return: false when they are not one tenant's
 * name; @ret_tenant is "" when there are none. */
static bool named(const char *message, size_t size, const char *word,
                  char ret_tenant[SHIP_TENANT_SIZE])
{
    const char *at = message, *end = message + size, *close;

    ret_tenant[0] = '\0';
    while ((at = memmem(at, (size_t)(end - at), word, strlen(word)))) {
        char tenant[SHIP_TENANT_SIZE];

        at += strlen(word);
        if (at < end && *at == ':')
            at++;
        if (end - at < 2 || at[0] != ' ' || at[1] != '\'')
            continue;
        at += 2;
        close = memchr(at, '\'', (size_t)(end - at));
        if (!close || !take_tenant(at, (size_t)(close - at), tenant) ||
            (ret_tenant[0] && strcmp(ret_tenant, tenant) != 0))
            return false;
        strcpy(ret_tenant, tenant);
    }
    return true;
}

/* RabbitMQ writes "vhost 'solo'", "vhost: 'solo', user: 'solo'", "virtual host 'solo'". Clients
 * choose parts of such lines, so a line that names two is nobody's. */
void ship_tenant_of_broker(const char *message, size_t size, char ret_tenant[SHIP_TENANT_SIZE])
{
    static const char CHOSEN[] = "client-provided name"; /* all that follows is */
    char user[SHIP_TENANT_SIZE];

    if (memmem(message, size, CHOSEN, sizeof(CHOSEN) - 1) ||
        !named(message, size, "host", ret_tenant) || !named(message, size, "user", user) ||
        (user[0] && strcmp(user, ret_tenant) != 0))
        ret_tenant[0] = '\0';
}

/* ---- a line ---- */

#define MEMBERS(MEMBER)                                                                            \
    MEMBER(time)                                                                                   \
    MEMBER(time_s)                                                                                 \
    MEMBER(timestamp)                                                                              \
    MEMBER(ts)                                                                                     \
    MEMBER(level)                                                                                  \
    MEMBER(error_severity)                                                                         \
    MEMBER(service)                                                                                \
    MEMBER(trace_id)                                                                               \
    MEMBER(span_id)                                                                                \
    MEMBER(message)                                                                                \
    MEMBER(dbname)                                                                                 \
    MEMBER(user)

struct members {
#define MEMBER_SPAN(name) struct span name;
    MEMBERS(MEMBER_SPAN)
#undef MEMBER_SPAN
};

static void keep_member(const struct ship_member *m, void *userdata)
{
    struct members *members = userdata;
    struct span value = {m->value, m->value_size};

#define MEMBER_KEEP(name_)                                                                         \
    if (m->name_size == sizeof(#name_) - 1 && memcmp(m->name, #name_, m->name_size) == 0) {        \
        members->name_ = value;                                                                    \
        return;                                                                                    \
    }
    MEMBERS(MEMBER_KEEP)
#undef MEMBER_KEEP
}

static bool is_service(struct span s)
{
    for (size_t i = 0; i < s.size; i++)
        if (!isalnum((unsigned char)s.text[i]) && !memchr("-_.", s.text[i], 3))
            return false;
    return s.size > 0 && s.size < SHIP_SERVICE_SIZE;
}

static bool is_hex(struct span s, size_t size)
{
    for (size_t i = 0; i < s.size; i++)
        if (!isxdigit((unsigned char)s.text[i]) || isupper((unsigned char)s.text[i]))
            return false;
    return s.size == size;
}

static void read_service(const struct members *m, const struct unit *unit, struct ship_line *line)
{
    const char *name = unit->log_service ? unit->log_service : unit->name;
    struct span service = is_service(m->service) ? m->service : (struct span){name, strlen(name)};

    if (service.size >= SHIP_SERVICE_SIZE)
        service.size = SHIP_SERVICE_SIZE - 1;
    memcpy(line->service, service.text, service.size);
    line->service[service.size] = '\0';
}

static void read_trace(const struct members *m, struct ship_line *line)
{
    if (is_hex(m->trace_id, SHIP_TRACE_ID_SIZE - 1)) {
        memcpy(line->trace_id, m->trace_id.text, SHIP_TRACE_ID_SIZE - 1);
        if (is_hex(m->span_id, SHIP_SPAN_ID_SIZE - 1))
            memcpy(line->span_id, m->span_id.text, SHIP_SPAN_ID_SIZE - 1);
    }
}

static void read_level(const struct members *m, struct ship_line *line)
{
    if (!line_text_level_word(m->level.text, m->level.size, &line->level))
        line_text_level_word(m->error_severity.text, m->error_severity.size, &line->level);
}

/* nginx has milliseconds only as a number, beside a time in seconds. */
static void read_time(const struct members *m, uint64_t now_ns, struct ship_line *line)
{
    const struct span texts[] = {m->time, m->timestamp, m->ts};
    double seconds;
    uint64_t ns;
    bool is_coarse;

    if (obs_text_parse_number(m->time_s.text, m->time_s.size, &seconds) == 0 && seconds > 0 &&
        seconds < 1e10) {
        line->time_ns = line_text_settle((uint64_t)(seconds * 1e6) * 1000, false, now_ns);
        return;
    }
    for (size_t i = 0; i < OBS_COUNT(texts); i++)
        if (line_text_timestamp(texts[i].text, texts[i].size, &ns, &is_coarse)) {
            line->time_ns = line_text_settle(ns, is_coarse, now_ns);
            return;
        }
}

static void read_tenant(const struct members *m, const struct unit *unit, struct ship_line *line)
{
    if (unit->log_tenants == UNIT_LOG_TENANTS_POSTGRES)
        ship_tenant_of_database(m->dbname.text, m->dbname.size, m->user.text, m->user.size,
                                line->tenant);
    else if (unit->log_tenants == UNIT_LOG_TENANTS_RABBITMQ)
        ship_tenant_of_broker(m->message.text, m->message.size, line->tenant);
}

void ship_line_read(const char *text, size_t size, const struct unit *unit, uint64_t now_ns,
                    struct ship_line *ret_line)
{
    static const struct members NONE = {
#define MEMBER_NONE(name) .name = {"", 0},
        MEMBERS(MEMBER_NONE)
#undef MEMBER_NONE
    };
    struct members m = NONE;

    *ret_line = (struct ship_line){.time_ns = now_ns, .level = OBS_LOG_INFO};
    if (!ship_line_walk(text, size, keep_member, &m))
        m = NONE; /* cut, or no object: nothing in it is trusted */
    read_service(&m, unit, ret_line);
    read_trace(&m, ret_line);
    read_level(&m, ret_line);
    read_time(&m, now_ns, ret_line);
    read_tenant(&m, unit, ret_line);
}
