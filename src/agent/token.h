#pragma once
/*
 * Token: who may use the control API. A JWT (RFC 7519) signed with ES256 (RFC 7518 section 3.4),
 * short-lived and for one tenant.
 */
#include "base/cleanup.h"
#include "base/reason.h"
#include <stdint.h>

#define TOKEN_LIFE_MAX_S 300
#define TOKEN_SKEW_S 5 /* by which clocks may differ */
#define TOKEN_ISSUER "observa"

struct token_checker;

enum token_outcome {
    TOKEN_OK = 0,
    TOKEN_REFUSED = 1, /* reason for the client; says nothing that helps to forge one */
};

/* @key_path: PEM of an EC P-256 public key. Return: 0, TOKEN_REFUSED (the file), -ENOMEM. */
int token_checker_new(const char *key_path, const char *audience,
                      struct token_checker **ret_checker, struct obs_reason *reterr_reason);
struct token_checker *token_checker_free(struct token_checker *checker);

/* @authorization: the header's value, NULL when absent. @now_s: Unix time. Any thread. */
int token_check(const struct token_checker *checker, const char *authorization, int64_t now_s,
                struct obs_reason *reterr_reason);

OBS_DEFINE_CLEANUP(struct token_checker *, token_checker_free)
