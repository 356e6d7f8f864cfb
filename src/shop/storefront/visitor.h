#pragma once
/* Visitor: who a request's session belongs to, by header X-User-Id, else cookie `sid`, else a new
 * one. */
#include "shop/storefront/session.h"

struct obs_http_request;

/* A visitor without either gets a cookie with the reply. Never fails. */
void visitor_find(struct obs_http_request *request, char ret_id[SESSION_ID_MAX + 1]);

/* Value of cookie @name in a Cookie header (RFC 6265 section 4.2.1). Return: its size; 0 when it is
 * absent or does not fit. */
size_t visitor_cookie(const char *header, const char *name, char *ret_value, size_t capacity);
