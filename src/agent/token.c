#include "agent/token.h"

#include "base/file.h"
#include <errno.h>
#include <jwt.h>
#include <string.h>
#include <strings.h>

#define KEY_BYTES_MAX 4096
#define TOKEN_BYTES_MAX 4096

struct token_checker {
    struct obs_buffer key;
    char *audience;
};

static void free_jwt(jwt_t **jwt)
{
    jwt_free(*jwt);
}

int token_checker_new(const char *key_path, const char *audience,
                      struct token_checker **ret_checker, struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(token_checker_freep) struct token_checker *c = calloc(1, sizeof(*c));
    int r;

    if (!c)
        return -ENOMEM;
    c->key = OBS_BUFFER_INIT(KEY_BYTES_MAX);
    c->audience = strdup(audience);
    if (!c->audience)
        return -ENOMEM;
    r = obs_file_read(key_path, &c->key);
    if (r == 0 && (!c->key.data || !strstr(c->key.data, "-----BEGIN PUBLIC KEY-----")))
        r = -EBADMSG;
    if (r < 0) {
        obs_reason_set(reterr_reason, "%s: %s", key_path,
                       r == -EBADMSG ? "not a public key in PEM" : strerror(-r));
        return TOKEN_REFUSED;
    }
    *ret_checker = OBS_TAKE(c);
    return 0;
}

struct token_checker *token_checker_free(struct token_checker *c)
{
    if (!c)
        return NULL;
    obs_buffer_done(&c->key);
    free(c->audience);
    free(c);
    return NULL;
}

static int refuse(struct obs_reason *reterr_reason, const char *text)
{
    obs_reason_set(reterr_reason, "%s", text);
    return TOKEN_REFUSED;
}

static int check_times(jwt_t *jwt, int64_t now_s, struct obs_reason *reterr_reason)
{
    int64_t issued, expires;

    errno = 0;
    issued = jwt_get_grant_int(jwt, "iat");
    if (errno != 0)
        return refuse(reterr_reason, "the token has no time of issue (iat)");
    errno = 0;
    expires = jwt_get_grant_int(jwt, "exp");
    if (errno != 0)
        return refuse(reterr_reason, "the token has no expiry (exp)");
    if (issued < 0 || expires <= issued || expires - issued > TOKEN_LIFE_MAX_S)
        return refuse(reterr_reason, "the token lives longer than 300 s");
    if (issued > now_s + TOKEN_SKEW_S)
        return refuse(reterr_reason, "the token was issued in the future");
    if (expires <= now_s - TOKEN_SKEW_S)
        return refuse(reterr_reason, "the token has expired");
    return 0;
}

int token_check(const struct token_checker *c, const char *authorization, int64_t now_s,
                struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(free_jwt) jwt_t *jwt = NULL;
    const char *text;

    if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0)
        return refuse(reterr_reason, "a bearer token is needed");
    if (strlen(authorization) > TOKEN_BYTES_MAX)
        return refuse(reterr_reason, "the token is too long");
    if (jwt_decode(&jwt, authorization + 7, (const unsigned char *)c->key.data, (int)c->key.size) !=
        0)
        return refuse(reterr_reason, "the token is malformed or its signature does not fit");
    /* The library takes the algorithm from the token: without this, anybody could sign with HS256
     * and the public key as secret. */
    if (jwt_get_alg(jwt) != JWT_ALG_ES256)
        return refuse(reterr_reason, "the token is not signed with ES256");
    text = jwt_get_grant(jwt, "iss");
    if (!text || strcmp(text, TOKEN_ISSUER) != 0)
        return refuse(reterr_reason, "the token is from another issuer");
    text = jwt_get_grant(jwt, "aud");
    if (!text || strcmp(text, c->audience) != 0)
        return refuse(reterr_reason, "the token is for another audience");
    return check_times(jwt, now_s, reterr_reason);
}
