#include "support/agent_token.h"

#include "support/test.h"
#include <jwt.h>
#include <limits.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void agent_token_make_keys(const char *folder)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    char path[PATH_MAX];
    FILE *file;

    assert_non_null(key);
    snprintf(path, sizeof(path), "%s/private.pem", folder);
    file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(file);
    snprintf(path, sizeof(path), "%s/public.pem", folder);
    file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(PEM_write_PUBKEY(file, key), 1);
    fclose(file);
    EVP_PKEY_free(key);
}

static size_t read_key(const char *folder, const char *name, char *data, size_t capacity)
{
    char path[PATH_MAX];
    FILE *file;
    size_t size;

    snprintf(path, sizeof(path), "%s/%s.pem", folder, name);
    file = fopen(path, "re");
    assert_non_null(file);
    size = fread(data, 1, capacity - 1, file);
    data[size] = '\0';
    fclose(file);
    return size;
}

char *agent_token_sign(const char *folder, const struct agent_token *token)
{
    bool is_hmac = strcmp(token->algorithm, "HS256") == 0;
    char key[4096], *text, *copy;
    size_t size = read_key(folder, is_hmac ? "public" : "private", key, sizeof(key));
    jwt_t *jwt;

    assert_int_equal(jwt_new(&jwt), 0);
    if (strcmp(token->algorithm, "none") == 0)
        jwt_set_alg(jwt, JWT_ALG_NONE, NULL, 0);
    else
        assert_int_equal(jwt_set_alg(jwt, is_hmac ? JWT_ALG_HS256 : JWT_ALG_ES256,
                                     (unsigned char *)key, (int)size),
                         0);
    if (token->issuer)
        jwt_add_grant(jwt, "iss", token->issuer);
    if (token->audience)
        jwt_add_grant(jwt, "aud", token->audience);
    if (token->issued_s)
        jwt_add_grant_int(jwt, "iat", token->issued_s);
    if (token->expires_s)
        jwt_add_grant_int(jwt, "exp", token->expires_s);
    text = jwt_encode_str(jwt);
    assert_non_null(text);
    copy = strdup(text);
    free(text);
    jwt_free(jwt);
    return copy;
}

char *agent_token_good(const char *folder, const char *audience)
{
    int64_t now = time(NULL);
    struct agent_token token = {"ES256", "observa", audience, now, now + 60};

    return agent_token_sign(folder, &token);
}
