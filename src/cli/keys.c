/* Keys: see keys.h. */
#include "cli/keys.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include <errno.h>
#include <jwt.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define SECRET_BYTES 24
#define PEM_BYTES_MAX 4096

OBS_DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free)
OBS_DEFINE_CLEANUP(BIO *, BIO_free)
OBS_DEFINE_CLEANUP(jwt_t *, jwt_free)

static int write_pem(const char *path, BIO *bio, mode_t mode, struct obs_reason *reterr_reason)
{
    char *text = NULL;
    long size = BIO_get_mem_data(bio, &text);

    return size > 0 ? obs_file_write_atomic(path, text, (size_t)size, mode, reterr_reason)
                    : -ENOMEM;
}

int keys_make_pair(const char *private_path, const char *public_path,
                   struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = NULL;
    OBS_CLEANUP(BIO_freep) BIO *private_pem = BIO_new(BIO_s_mem());
    OBS_CLEANUP(BIO_freep) BIO *public_pem = BIO_new(BIO_s_mem());
    int r;

    if (access(private_path, F_OK) == 0 && access(public_path, F_OK) == 0)
        return 0;
    key = EVP_EC_gen("P-256");
    if (!key || !private_pem || !public_pem ||
        PEM_write_bio_PrivateKey(private_pem, key, NULL, NULL, 0, NULL, NULL) != 1 ||
        PEM_write_bio_PUBKEY(public_pem, key) != 1) {
        obs_reason_set(reterr_reason, "OpenSSL could not make an EC key");
        return -EIO;
    }
    r = write_pem(private_path, private_pem, 0600, reterr_reason);
    return r == 0 ? write_pem(public_path, public_pem, 0644, reterr_reason) : r;
}

int keys_make_secret(const char *path, struct obs_reason *reterr_reason)
{
    uint8_t bytes[SECRET_BYTES];
    char text[2 * SECRET_BYTES + 1];

    if (access(path, F_OK) == 0)
        return 0;
    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return -EIO;
    obs_text_hex(bytes, sizeof(bytes), text);
    return obs_file_write_atomic(path, text, 2 * SECRET_BYTES, 0600, reterr_reason);
}

int keys_read_secret(const char *path, char **ret_text, struct obs_reason *reterr_reason)
{
    struct obs_buffer b = OBS_BUFFER_INIT(PEM_BYTES_MAX);
    int r = obs_file_read(path, &b);

    if (r == 0 && b.size == 0)
        r = -EINVAL;
    if (r < 0) {
        obs_reason_set(reterr_reason, "%s: %s", path, strerror(-r));
        obs_buffer_done(&b);
        return r;
    }
    *ret_text = b.data;
    return 0;
}

int keys_token(const char *private_path, const char *audience, unsigned seconds, char **ret_token,
               struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(obs_freep) char *key = NULL;
    OBS_CLEANUP(jwt_freep) jwt_t *jwt = NULL;
    long now = (long)(obs_time_ns() / OBS_NS_PER_SECOND);
    int r = keys_read_secret(private_path, &key, reterr_reason);

    if (r < 0)
        return r;
    if (jwt_new(&jwt) != 0)
        return -ENOMEM;
    if (jwt_add_grant(jwt, "iss", "observa") != 0 || jwt_add_grant(jwt, "aud", audience) != 0 ||
        jwt_add_grant_int(jwt, "iat", now) != 0 ||
        jwt_add_grant_int(jwt, "exp", now + (long)seconds) != 0 ||
        jwt_set_alg(jwt, JWT_ALG_ES256, (const unsigned char *)key, (int)strlen(key)) != 0) {
        obs_reason_set(reterr_reason, "%s: not a key that can sign a token", private_path);
        return -EINVAL;
    }
    *ret_token = jwt_encode_str(jwt);
    if (!*ret_token) {
        obs_reason_set(reterr_reason, "%s: signing a token failed", private_path);
        return -EINVAL;
    }
    return 0;
}
