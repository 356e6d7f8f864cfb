#pragma once
/*
 * Cookies: what one virtual user has been given (RFC 6265), in bounded memory.
 *
 * There is one host, and journeys stay in its paths: Domain, Path and Secure are not looked at. A
 * cookie ends with Max-Age of 0 or less; Expires is not looked at.
 */
#include "base/buffer.h"
#include "base/http1.h"

#define COOKIES_MAX 16
#define COOKIE_BYTES_MAX 4096 /* all names and values of one user */

struct cookies;

/* Take one Set-Cookie value. @cookies: NULL at first; made when the first cookie comes. */
void cookies_set(struct cookies **cookies, struct obs_span_text set_cookie);
struct cookies *cookies_free(struct cookies *cookies);
/* Append "Cookie: a=1; b=2\r\n", nothing when there are none. Return: 0 or the buffer's error. */
int cookies_emit(const struct cookies *cookies, struct obs_buffer *b);
/* Value of the cookie @name or NULL. */
const char *cookies_find(const struct cookies *cookies, const char *name);
