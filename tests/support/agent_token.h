#pragma once
/* Tokens for tests: a fresh key pair in a folder, and tokens signed with it, good or bad on
 * purpose. */
#include <stdbool.h>
#include <stdint.h>

/* Write FOLDER/private.pem and FOLDER/public.pem (P-256). */
void agent_token_make_keys(const char *folder);

struct agent_token {
    const char *algorithm;         /* "ES256", "HS256" (the public key as secret), "none" */
    const char *issuer, *audience; /* NULL: left out */
    int64_t issued_s, expires_s;   /* 0: left out */
};

/* Return: the token, to be freed. */
char *agent_token_sign(const char *folder, const struct agent_token *token);
/* A good one for @audience, valid from now. */
char *agent_token_good(const char *folder, const char *audience);
