/* Provision RabbitMQ: a tenant's virtual host and user, through the management API. */
#include "cli/provision.h"

#include "base/clock.h"
#include "base/http_client.h"
#include "cli/keys.h"
#include "cli/ports.h"
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#define AGAIN_NS (50 * OBS_NS_PER_MS)

struct management {
    struct obs_http_client *client;
    char authorization[256];
    uint64_t deadline_ns;
};

static int open_management(const struct paths *paths, struct management *m,
                           struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(obs_freep) char *password = NULL;
    OBS_JSON ports = NULL;
    struct obs_http_client_options options = {0};
    char path[PATHS_ROOM], address[64], plain[128];
    unsigned char encoded[192];
    int r = keys_read_secret(paths_format(path, "%s/platform/secrets/rabbitmq", paths->state),
                             &password, reterr_reason);

    if (r < 0)
        return r;
    if (ports_read(paths_format(path, "%s/platform/ports.json", paths->state), &ports,
                   reterr_reason) != 0)
        return -ENOENT;
    (void)snprintf(address, sizeof(address), "tcp:127.0.0.1:%u",
                   ports_get(ports, "rabbitmq-management"));
    if (obs_address_parse(address, &options.address, reterr_reason) != 0)
        return -EINVAL;
    (void)snprintf(plain, sizeof(plain), "observa:%s", password);
    EVP_EncodeBlock(encoded, (const unsigned char *)plain, (int)strlen(plain));
    (void)snprintf(m->authorization, sizeof(m->authorization), "Basic %s", encoded);
    return obs_http_client_new(&options, &m->client);
}

/* PUT, again and again while the API is not there yet. */
static int put(struct management *m, const char *target, const json_t *body,
               struct obs_reason *reterr_reason)
{
    struct obs_buffer text = OBS_BUFFER_INIT(4096);
    struct obs_http_call_header header = {"Authorization", m->authorization};
    struct obs_http_call call = {.method = "PUT",
                                 .target = target,
                                 .headers = &header,
                                 .header_count = 1,
                                 .content_type = "application/json",
                                 .timeout_ms = 5000};
    bool is_over = false;
    int r = obs_json_emit(body, &text);

    call.body = text.data;
    call.body_size = text.size;
    while (r == 0 && !is_over) {
        OBS_HTTP_REPLY reply = {0};
        int called = obs_http_client_call(m->client, &call, &reply);

        is_over = called == 0 && reply.status < 300;
        if (!is_over && obs_mono_ns() > m->deadline_ns) {
            obs_reason_set(reterr_reason, "RabbitMQ: PUT %s: %s%d %s", target,
                           called < 0 ? strerror(-called) : "status ", reply.status,
                           reply.body.data ? reply.body.data : "");
            r = called < 0 ? called : -EIO;
        } else if (!is_over) {
            obs_sleep_ns(AGAIN_NS);
        }
    }
    obs_buffer_done(&text);
    return r;
}

int provision_rabbitmq(const struct paths *paths, const char *tenant, unsigned within_ms,
                       struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(obs_freep) char *password = NULL;
    OBS_JSON nothing = json_object();
    OBS_JSON user = NULL;
    OBS_JSON rights = json_pack("{s:s, s:s, s:s}", "configure", ".*", "write", ".*", "read", ".*");
    struct management m = {.deadline_ns = obs_mono_ns() + within_ms * OBS_NS_PER_MS};
    char path[PATHS_ROOM], target[128];
    int r = keys_read_secret(paths_format(path, "%s/tenants/%s/secrets/amqp", paths->state, tenant),
                             &password, reterr_reason);

    if (r == 0)
        r = open_management(paths, &m, reterr_reason);
    if (r < 0)
        return r;
    user = json_pack("{s:s, s:s}", "password", password, "tags", "");
    (void)snprintf(target, sizeof(target), "/api/vhosts/%s", tenant);
    r = put(&m, target, nothing, reterr_reason);
    (void)snprintf(target, sizeof(target), "/api/users/%s", tenant);
    if (r == 0)
        r = put(&m, target, user, reterr_reason);
    (void)snprintf(target, sizeof(target), "/api/permissions/%s/%s", tenant, tenant);
    if (r == 0)
        r = put(&m, target, rights, reterr_reason);
    obs_http_client_free(m.client);
    return r;
}
