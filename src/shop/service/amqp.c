#include "shop/service/amqp.h"

/*
 * librabbitmq offers blocking calls that each wait for "their" frame. Here one dispatcher takes
 * whatever frame comes next, because a consumer that also publishes with confirms gets deliveries,
 * confirms and returned messages mixed on one socket. librabbitmq's own questions (declare,
 * consume, …) set frames that are not their answer aside, and the dispatcher finds those first.
 */
#include "base/clock.h"
#include "base/file.h"
#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define CHANNEL 1
#define FRAMES_PER_PUMP 256 /* then the owner gets its turn */
#define POLL_MS_MAX 2000    /* heartbeats are looked after at least so often */
#define FRAME_BYTES_MAX 131072

struct amqp_link {
    amqp_connection_state_t connection;
    struct amqp_link_events events;
    uint64_t published; /* messages since confirm.select: the broker counts the same */
    char consumer_tag[64];
    bool is_lost;
};

unsigned amqp_backoff_ms(unsigned failures, uint32_t random)
{
    unsigned shift = failures > 5 ? 4 : (failures == 0 ? 0 : failures - 1);
    unsigned full = 100u << shift;

    if (full > 1000)
        full = 1000;
    return full - (unsigned)((uint64_t)(full / 4) * (random & 0xffff) / 0xffff);
}

int amqp_password_read(const char *path, char *password, size_t capacity,
                       struct obs_reason *reterr_reason)
{
    struct obs_buffer file = OBS_BUFFER_INIT(4096);
    int r = obs_file_read(path, &file);
    size_t size = r == 0 && file.data ? strcspn(file.data, "\r\n") : 0;

    if (r == 0 && size >= capacity)
        r = -EMSGSIZE;
    if (r < 0)
        obs_reason_set(reterr_reason, "cannot read the password in %s: %s", path, strerror(-r));
    else
        snprintf(password, capacity, "%.*s", (int)size, file.data ? file.data : "");
    obs_buffer_done(&file);
    return r;
}

/* ---- what the broker says when it says no ---- */

static int lost(struct amqp_link *link, struct obs_reason *reterr_reason, const char *doing,
                const char *why)
{
    link->is_lost = true;
    obs_reason_set(reterr_reason, "%s: %s", doing, why);
    return -EIO;
}

static int refused(struct amqp_link *link, struct obs_reason *reterr_reason, const char *doing,
                   const amqp_method_t *method)
{
    amqp_bytes_t text = amqp_empty_bytes;
    int code = 0;

    if (method->id == AMQP_CONNECTION_CLOSE_METHOD) {
        const amqp_connection_close_t *close_method = method->decoded;
        text = close_method->reply_text;
        code = close_method->reply_code;
    } else if (method->id == AMQP_CHANNEL_CLOSE_METHOD) {
        const amqp_channel_close_t *close_method = method->decoded;
        text = close_method->reply_text;
        code = close_method->reply_code;
    }
    link->is_lost = true; /* either closes the channel, and a link has only one */
    obs_reason_set(reterr_reason, "%s: broker answered %d %.*s", doing, code,
                   (int)(text.len > 160 ? 160 : text.len), (const char *)text.bytes);
    return AMQP_REFUSED;
}

static int check_reply(struct amqp_link *link, amqp_rpc_reply_t reply, const char *doing,
                       struct obs_reason *reterr_reason)
{
    switch (reply.reply_type) {
    case AMQP_RESPONSE_NORMAL:
        return 0;
    case AMQP_RESPONSE_SERVER_EXCEPTION:
        return refused(link, reterr_reason, doing, &reply.reply);
    case AMQP_RESPONSE_LIBRARY_EXCEPTION:
        return lost(link, reterr_reason, doing, amqp_error_string2(reply.library_error));
    default:
        return lost(link, reterr_reason, doing, "no answer");
    }
}

/* ---- opening and closing ---- */

struct amqp_link *amqp_link_free(struct amqp_link *link)
{
    if (!link)
        return NULL;
    if (link->connection) {
        if (!link->is_lost)
            amqp_connection_close(link->connection, AMQP_REPLY_SUCCESS);
        amqp_destroy_connection(link->connection);
    }
    free(link);
    return NULL;
}

void amqp_link_abandon(struct amqp_link *link)
{
    link->is_lost = true;
}

static void tune_socket(struct amqp_link *link, unsigned timeout_ms)
{
    int fd = amqp_get_sockfd(link->connection);
    int on = 1;

    /* A stopped broker must not hold a writer for ever. */
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static int connect_socket(struct amqp_link *link, const struct amqp_link_options *options,
                          struct timeval *timeout, struct obs_reason *reterr_reason)
{
    amqp_socket_t *socket = amqp_tcp_socket_new(link->connection);
    int r;

    if (!socket)
        return -ENOMEM;
    r = amqp_socket_open_noblock(socket, options->host, options->port, timeout);
    if (r == AMQP_STATUS_OK)
        return 0;
    link->is_lost = true;
    obs_reason_set(reterr_reason, "cannot reach the broker at %s:%u: %s", options->host,
                   options->port, amqp_error_string2(r));
    return r == AMQP_STATUS_TIMEOUT ? -ETIMEDOUT : -ECONNREFUSED;
}

static int log_in(struct amqp_link *link, const struct amqp_link_options *options,
                  struct obs_reason *reterr_reason)
{
    /* Without this the broker does not say that a consumer's queue was deleted. */
    amqp_table_entry_t capability = {.key = amqp_cstring_bytes("consumer_cancel_notify"),
                                     .value.kind = AMQP_FIELD_KIND_BOOLEAN,
                                     .value.value.boolean = 1};
    amqp_table_entry_t entries[2] = {
        {.key = amqp_cstring_bytes("connection_name"),
         .value.kind = AMQP_FIELD_KIND_UTF8,
         .value.value.bytes = amqp_cstring_bytes(options->name)},
        {.key = amqp_cstring_bytes("capabilities"),
         .value.kind = AMQP_FIELD_KIND_TABLE,
         .value.value.table = {.num_entries = 1, .entries = &capability}},
    };
    amqp_table_t properties = {.num_entries = 2, .entries = entries};
    int heartbeat = options->heartbeat_s ? (int)options->heartbeat_s : 10;

    return check_reply(link,
                       amqp_login_with_properties(
                           link->connection, options->vhost, 0, FRAME_BYTES_MAX, heartbeat,
                           &properties, AMQP_SASL_METHOD_PLAIN, options->user, options->password),
                       "logging in to the broker", reterr_reason);
}

static int open_channel(struct amqp_link *link, struct obs_reason *reterr_reason)
{
    amqp_channel_open(link->connection, CHANNEL);
    int r =
        check_reply(link, amqp_get_rpc_reply(link->connection), "opening a channel", reterr_reason);

    if (r != 0)
        return r;
    amqp_confirm_select(link->connection, CHANNEL);
    return check_reply(link, amqp_get_rpc_reply(link->connection), "asking for confirms",
                       reterr_reason);
}

int amqp_link_open(const struct amqp_link_options *options, const struct amqp_link_events *events,
                   struct amqp_link **ret_link, struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(amqp_link_freep) struct amqp_link *link = calloc(1, sizeof(*link));
    unsigned timeout_ms = options->timeout_ms ? options->timeout_ms : 5000;
    struct timeval timeout = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
    int r;

    if (!link)
        return -ENOMEM;
    link->connection = amqp_new_connection();
    if (!link->connection)
        return -ENOMEM;
    link->events = *events;
    amqp_set_handshake_timeout(link->connection, &timeout);
    amqp_set_rpc_timeout(link->connection, &timeout);
    r = connect_socket(link, options, &timeout, reterr_reason);
    if (r < 0)
        return r;
    tune_socket(link, timeout_ms);
    r = log_in(link, options, reterr_reason);
    if (r == 0)
        r = open_channel(link, reterr_reason);
    if (r == 0)
        *ret_link = OBS_TAKE(link);
    return r;
}

/* ---- topology ---- */

static void declare_exchange(struct amqp_link *link, const char *name, const char *type)
{
    amqp_exchange_declare(link->connection, CHANNEL, amqp_cstring_bytes(name),
                          amqp_cstring_bytes(type), 0, 1, 0, 0, amqp_empty_table);
}

static void declare_queue(struct amqp_link *link, const char *name, const char *dead_exchange)
{
    amqp_table_entry_t entry = {.key = amqp_cstring_bytes("x-dead-letter-exchange"),
                                .value.kind = AMQP_FIELD_KIND_UTF8};
    amqp_table_t arguments = {.num_entries = dead_exchange ? 1 : 0, .entries = &entry};

    if (dead_exchange)
        entry.value.value.bytes = amqp_cstring_bytes(dead_exchange);
    amqp_queue_declare(link->connection, CHANNEL, amqp_cstring_bytes(name), 0, 1, 0, 0, arguments);
}

static void bind_queue(struct amqp_link *link, const char *queue, const char *exchange)
{
    amqp_queue_bind(link->connection, CHANNEL, amqp_cstring_bytes(queue),
                    amqp_cstring_bytes(exchange), amqp_cstring_bytes(AMQP_QUEUE), amqp_empty_table);
}

int amqp_link_declare(struct amqp_link *link, struct obs_reason *reterr_reason)
{
    int r = 0;

    for (int step = 0; step < 6 && r == 0; step++) {
        switch (step) {
        case 0:
            declare_exchange(link, AMQP_DEAD_EXCHANGE, "fanout");
            break;
        case 1:
            declare_queue(link, AMQP_DEAD_QUEUE, NULL);
            break;
        case 2:
            bind_queue(link, AMQP_DEAD_QUEUE, AMQP_DEAD_EXCHANGE);
            break;
        case 3:
            declare_exchange(link, AMQP_EXCHANGE, "direct");
            break;
        case 4:
            declare_queue(link, AMQP_QUEUE, AMQP_DEAD_EXCHANGE);
            break;
        case 5:
            bind_queue(link, AMQP_QUEUE, AMQP_EXCHANGE);
            break;
        }
        r = check_reply(link, amqp_get_rpc_reply(link->connection), "declaring queues",
                        reterr_reason);
    }
    amqp_maybe_release_buffers(link->connection);
    return r;
}

/* ---- sending ---- */

static int sent(struct amqp_link *link, int status)
{
    if (status == AMQP_STATUS_OK)
        return 0;
    link->is_lost = true;
    return -EIO;
}

static bool is_set(const char *text)
{
    return text && *text;
}

static amqp_table_entry_t text_entry(const char *name, const char *text)
{
    return (amqp_table_entry_t){.key = amqp_cstring_bytes(name),
                                .value.kind = AMQP_FIELD_KIND_UTF8,
                                .value.value.bytes = amqp_cstring_bytes(text)};
}

int amqp_link_publish(struct amqp_link *link, const struct amqp_message *message,
                      uint64_t *ret_sequence)
{
    amqp_table_entry_t headers[3];
    amqp_basic_properties_t properties = {
        ._flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_CONTENT_TYPE_FLAG |
                  AMQP_BASIC_TIMESTAMP_FLAG | AMQP_BASIC_HEADERS_FLAG,
        .delivery_mode = AMQP_DELIVERY_PERSISTENT,
        .content_type = amqp_cstring_bytes("application/json"),
        .timestamp = obs_time_ns() / OBS_NS_PER_SECOND,
        .headers.entries = headers,
    };
    amqp_bytes_t body = {.len = message->body_size, .bytes = (void *)(uintptr_t)message->body};

    if (link->is_lost)
        return -EIO;
    if (is_set(message->traceparent))
        headers[properties.headers.num_entries++] =
            text_entry(AMQP_HEADER_TRACEPARENT, message->traceparent);
    if (message->attempts > 0)
        headers[properties.headers.num_entries++] =
            (amqp_table_entry_t){.key = amqp_cstring_bytes(AMQP_HEADER_ATTEMPTS),
                                 .value.kind = AMQP_FIELD_KIND_I64,
                                 .value.value.i64 = message->attempts};
    if (is_set(message->last_error))
        headers[properties.headers.num_entries++] =
            text_entry(AMQP_HEADER_LAST_ERROR, message->last_error);
    if (is_set(message->message_id)) {
        properties._flags |= AMQP_BASIC_MESSAGE_ID_FLAG;
        properties.message_id = amqp_cstring_bytes(message->message_id);
    }
    if (is_set(message->type)) {
        properties._flags |= AMQP_BASIC_TYPE_FLAG;
        properties.type = amqp_cstring_bytes(message->type);
    }
    *ret_sequence = ++link->published;
    return sent(link, amqp_basic_publish(
                          link->connection, CHANNEL, amqp_cstring_bytes(message->exchange),
                          amqp_cstring_bytes(message->routing_key), 1, 0, &properties, body));
}

int amqp_link_ack(struct amqp_link *link, uint64_t tag)
{
    return link->is_lost ? -EIO : sent(link, amqp_basic_ack(link->connection, CHANNEL, tag, 0));
}

int amqp_link_reject(struct amqp_link *link, uint64_t tag, bool requeue)
{
    return link->is_lost ? -EIO
                         : sent(link, amqp_basic_reject(link->connection, CHANNEL, tag, requeue));
}

/* ---- consuming ---- */

int amqp_link_consume(struct amqp_link *link, const char *queue, uint16_t prefetch,
                      struct obs_reason *reterr_reason)
{
    const amqp_basic_consume_ok_t *ok;
    int r;

    if (link->is_lost)
        return lost(link, reterr_reason, "consuming", "the connection is gone");
    amqp_basic_qos(link->connection, CHANNEL, 0, prefetch, 0);
    r = check_reply(link, amqp_get_rpc_reply(link->connection), "setting the prefetch",
                    reterr_reason);
    if (r != 0)
        return r;
    ok = amqp_basic_consume(link->connection, CHANNEL, amqp_cstring_bytes(queue), amqp_empty_bytes,
                            0, 0, 0, amqp_empty_table);
    r = check_reply(link, amqp_get_rpc_reply(link->connection), "consuming", reterr_reason);
    if (r != 0)
        return r;
    snprintf(link->consumer_tag, sizeof(link->consumer_tag), "%.*s", (int)ok->consumer_tag.len,
             (const char *)ok->consumer_tag.bytes);
    return 0;
}

int amqp_link_cancel(struct amqp_link *link)
{
    int r;

    if (link->is_lost)
        return -EIO;
    if (link->consumer_tag[0] == '\0')
        return 0;
    amqp_basic_cancel(link->connection, CHANNEL, amqp_cstring_bytes(link->consumer_tag));
    r = check_reply(link, amqp_get_rpc_reply(link->connection), "cancelling", NULL);
    link->consumer_tag[0] = '\0';
    return r == 0 ? 0 : -EIO;
}

/* ---- receiving ---- */

struct incoming { /* NUL-terminated copies of what the frames hold */
    amqp_message_t content;
    struct amqp_message message;
    char exchange[128], routing_key[128], message_id[128], type[64];
    char traceparent[AMQP_HEADER_TEXT_MAX], last_error[AMQP_HEADER_TEXT_MAX];
};

static const char *copy_text(char *out, size_t capacity, amqp_bytes_t bytes)
{
    size_t size = bytes.len < capacity ? bytes.len : capacity - 1;

    if (size > 0)
        memcpy(out, bytes.bytes, size);
    out[size] = '\0';
    return out;
}

static int64_t field_integer(const amqp_field_value_t *value)
{
    switch (value->kind) {
    case AMQP_FIELD_KIND_I8:
        return value->value.i8;
    case AMQP_FIELD_KIND_U8:
        return value->value.u8;
    case AMQP_FIELD_KIND_I16:
        return value->value.i16;
    case AMQP_FIELD_KIND_U16:
        return value->value.u16;
    case AMQP_FIELD_KIND_I32:
        return value->value.i32;
    case AMQP_FIELD_KIND_U32:
        return value->value.u32;
    case AMQP_FIELD_KIND_I64:
        return value->value.i64;
    default:
        return 0;
    }
}

/* Anyone may have written the header. */
static int64_t bounded_count(int64_t count)
{
    return count < 0 ? 0 : (count > AMQP_ATTEMPTS_MAX ? AMQP_ATTEMPTS_MAX : count);
}

static bool is_text_field(const amqp_field_value_t *value)
{
    return value->kind == AMQP_FIELD_KIND_UTF8 || value->kind == AMQP_FIELD_KIND_BYTES;
}

static bool is_named(amqp_bytes_t key, const char *name)
{
    return key.len == strlen(name) && memcmp(key.bytes, name, key.len) == 0;
}

static void take_headers(struct incoming *in, const amqp_table_t *headers)
{
    for (int i = 0; i < headers->num_entries; i++) {
        const amqp_table_entry_t *entry = &headers->entries[i];
        if (is_named(entry->key, AMQP_HEADER_ATTEMPTS))
            in->message.attempts = bounded_count(field_integer(&entry->value));
        else if (!is_text_field(&entry->value))
            continue;
        else if (is_named(entry->key, AMQP_HEADER_TRACEPARENT))
            copy_text(in->traceparent, sizeof(in->traceparent), entry->value.value.bytes);
        else if (is_named(entry->key, AMQP_HEADER_LAST_ERROR))
            copy_text(in->last_error, sizeof(in->last_error), entry->value.value.bytes);
    }
}

static int read_content(struct amqp_link *link, struct incoming *in,
                        struct obs_reason *reterr_reason)
{
    amqp_rpc_reply_t reply = amqp_read_message(link->connection, CHANNEL, &in->content, 0);
    const amqp_basic_properties_t *properties = &in->content.properties;
    int r = check_reply(link, reply, "reading a message", reterr_reason);

    if (r != 0)
        return -EIO;
    if (properties->_flags & AMQP_BASIC_MESSAGE_ID_FLAG)
        copy_text(in->message_id, sizeof(in->message_id), properties->message_id);
    if (properties->_flags & AMQP_BASIC_TYPE_FLAG)
        copy_text(in->type, sizeof(in->type), properties->type);
    if (properties->_flags & AMQP_BASIC_HEADERS_FLAG)
        take_headers(in, &properties->headers);
    in->message.exchange = in->exchange;
    in->message.routing_key = in->routing_key;
    in->message.message_id = in->message_id;
    in->message.type = in->type;
    in->message.traceparent = in->traceparent;
    in->message.last_error = in->last_error;
    in->message.body = in->content.body.bytes;
    in->message.body_size = in->content.body.len;
    return 0;
}

static int take_delivery(struct amqp_link *link, const amqp_basic_deliver_t *deliver,
                         struct obs_reason *reterr_reason)
{
    struct incoming in = {.message.tag = deliver->delivery_tag,
                          .message.redelivered = deliver->redelivered};
    int r;

    copy_text(in.exchange, sizeof(in.exchange), deliver->exchange);
    copy_text(in.routing_key, sizeof(in.routing_key), deliver->routing_key);
    r = read_content(link, &in, reterr_reason);
    if (r < 0)
        return r;
    if (link->events.delivered)
        link->events.delivered(&in.message, link->events.userdata);
    amqp_destroy_message(&in.content);
    return 0;
}

static int take_return(struct amqp_link *link, const amqp_basic_return_t *returned,
                       struct obs_reason *reterr_reason)
{
    struct incoming in = {0};
    int r;

    copy_text(in.exchange, sizeof(in.exchange), returned->exchange);
    copy_text(in.routing_key, sizeof(in.routing_key), returned->routing_key);
    r = read_content(link, &in, reterr_reason);
    if (r < 0)
        return r;
    if (link->events.returned)
        link->events.returned(&in.message, link->events.userdata);
    amqp_destroy_message(&in.content);
    return 0;
}

static void take_confirm(struct amqp_link *link, uint64_t sequence, bool is_multiple,
                         bool is_accepted)
{
    if (link->events.confirmed)
        link->events.confirmed(sequence, is_multiple, is_accepted, link->events.userdata);
}

static int dispatch(struct amqp_link *link, const amqp_frame_t *frame,
                    struct obs_reason *reterr_reason)
{
    const amqp_method_t *method = &frame->payload.method;

    if (frame->frame_type != AMQP_FRAME_METHOD)
        return 0;
    switch (method->id) {
    case AMQP_BASIC_DELIVER_METHOD:
        return take_delivery(link, method->decoded, reterr_reason);
    case AMQP_BASIC_RETURN_METHOD:
        return take_return(link, method->decoded, reterr_reason);
    case AMQP_BASIC_ACK_METHOD: {
        const amqp_basic_ack_t *ack = method->decoded;
        take_confirm(link, ack->delivery_tag, ack->multiple, true);
        return 0;
    }
    case AMQP_BASIC_NACK_METHOD: {
        const amqp_basic_nack_t *nack = method->decoded;
        take_confirm(link, nack->delivery_tag, nack->multiple, false);
        return 0;
    }
    case AMQP_BASIC_CANCEL_METHOD:
        link->consumer_tag[0] = '\0';
        if (link->events.cancelled)
            link->events.cancelled(link->events.userdata);
        return 0;
    case AMQP_CHANNEL_CLOSE_METHOD:
    case AMQP_CONNECTION_CLOSE_METHOD:
        refused(link, reterr_reason, "broker closed the connection", method);
        return -EIO;
    default:
        return 0;
    }
}

/* Return: frames handled, -EIO. */
static int take_frames(struct amqp_link *link, struct obs_reason *reterr_reason)
{
    int handled = 0;

    while (handled < FRAMES_PER_PUMP) {
        struct timeval none = {0};
        amqp_frame_t frame;
        int status = amqp_simple_wait_frame_noblock(link->connection, &frame, &none);
        if (status == AMQP_STATUS_TIMEOUT)
            break;
        if (status != AMQP_STATUS_OK)
            return lost(link, reterr_reason, "broker connection lost", amqp_error_string2(status));
        handled++;
        if (dispatch(link, &frame, reterr_reason) < 0) {
            link->is_lost = true;
            return -EIO;
        }
        amqp_maybe_release_buffers_on_channel(link->connection, CHANNEL);
    }
    return handled;
}

static void wait_for_news(struct amqp_link *link, int wake_fd, unsigned timeout_ms)
{
    struct pollfd fds[2] = {{.fd = amqp_get_sockfd(link->connection), .events = POLLIN},
                            {.fd = wake_fd, .events = POLLIN}};
    uint64_t count;

    if (timeout_ms > POLL_MS_MAX)
        timeout_ms = POLL_MS_MAX;
    poll(fds, 2, (int)timeout_ms); /* poll() skips a negative fd */
    if (wake_fd >= 0 && (fds[1].revents & POLLIN) && read(wake_fd, &count, sizeof(count)) < 0)
        return; /* someone else drained it */
}

int amqp_link_pump(struct amqp_link *link, int wake_fd, unsigned timeout_ms,
                   struct obs_reason *reterr_reason)
{
    int handled;

    if (link->is_lost)
        return lost(link, reterr_reason, "broker connection lost", "write failed");
    handled = take_frames(link, reterr_reason);
    if (handled < 0)
        return handled;
    wait_for_news(link, wake_fd, handled > 0 ? 0 : timeout_ms);
    handled = take_frames(link, reterr_reason);
    return handled < 0 ? handled : 0;
}
