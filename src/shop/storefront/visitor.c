#include "shop/storefront/visitor.h"
#include "base/http_server.h"
#include "base/text.h"
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define COOKIE_NAME "sid"

size_t visitor_cookie(const char *header, const char *name, char *ret_value, size_t capacity)
{
    size_t name_size = strlen(name);

    while (*header != '\0') {
        size_t size;

        header += strspn(header, "; ");
        size = strcspn(header, ";");
        if (size > name_size && header[name_size] == '=' && memcmp(header, name, name_size) == 0) {
            size_t value_size = size - name_size - 1;

            if (value_size >= capacity)
                return 0;
            memcpy(ret_value, header + name_size + 1, value_size);
            ret_value[value_size] = '\0';
            return value_size;
        }
        header += size;
    }
    return 0;
}

static void make_new(struct obs_http_request *request, char ret_id[SESSION_ID_MAX + 1])
{
    uint8_t random[16] = {0};
    char cookie[128];

    if (getrandom(random, sizeof(random), 0) != sizeof(random)) {
        (void)strcpy(ret_id, "anonymous"); /* served, but not known again */
        return;
    }
    obs_text_hex(random, sizeof(random), ret_id);
    (void)snprintf(cookie, sizeof(cookie), COOKIE_NAME "=%.32s; Path=/; HttpOnly; SameSite=Lax",
                   ret_id);
    obs_http_reply_header(request, "Set-Cookie", cookie);
}

void visitor_find(struct obs_http_request *request, char ret_id[SESSION_ID_MAX + 1])
{
    const char *user = obs_http_header(request, "x-user-id");
    const char *cookies = obs_http_header(request, "cookie");

    if (user && strlen(user) + 2 <= SESSION_ID_MAX && session_id_is_valid(user)) {
        /* Users and cookies are two name spaces: nobody becomes a user by a cookie. */
        (void)snprintf(ret_id, SESSION_ID_MAX + 1, "u-%s", user);
        return;
    }
    if (cookies && visitor_cookie(cookies, COOKIE_NAME, ret_id, SESSION_ID_MAX + 1) == 32 &&
        session_id_is_valid(ret_id))
        return;
    make_new(request, ret_id);
}
