/* Names of status codes (IANA's registry). */
#include "base/http1.h"

#define STATUS_TEXTS(ROW)                                                                          \
    ROW(100, "Continue")                                                                           \
    ROW(200, "OK")                                                                                 \
    ROW(201, "Created")                                                                            \
    ROW(202, "Accepted")                                                                           \
    ROW(204, "No Content")                                                                         \
    ROW(206, "Partial Content")                                                                    \
    ROW(301, "Moved Permanently")                                                                  \
    ROW(302, "Found")                                                                              \
    ROW(303, "See Other")                                                                          \
    ROW(304, "Not Modified")                                                                       \
    ROW(400, "Bad Request")                                                                        \
    ROW(401, "Unauthorized")                                                                       \
    ROW(403, "Forbidden")                                                                          \
    ROW(404, "Not Found")                                                                          \
    ROW(405, "Method Not Allowed")                                                                 \
    ROW(406, "Not Acceptable")                                                                     \
    ROW(408, "Request Timeout")                                                                    \
    ROW(409, "Conflict")                                                                           \
    ROW(410, "Gone")                                                                               \
    ROW(411, "Length Required")                                                                    \
    ROW(412, "Precondition Failed")                                                                \
    ROW(413, "Content Too Large")                                                                  \
    ROW(414, "URI Too Long")                                                                       \
    ROW(415, "Unsupported Media Type")                                                             \
    ROW(417, "Expectation Failed")                                                                 \
    ROW(422, "Unprocessable Content")                                                              \
    ROW(423, "Locked")                                                                             \
    ROW(429, "Too Many Requests")                                                                  \
    ROW(431, "Request Header Fields Too Large")                                                    \
    ROW(499, "Client Closed Request")                                                              \
    ROW(500, "Internal Server Error")                                                              \
    ROW(501, "Not Implemented")                                                                    \
    ROW(502, "Bad Gateway")                                                                        \
    ROW(503, "Service Unavailable")                                                                \
    ROW(504, "Gateway Timeout")                                                                    \
    ROW(505, "HTTP Version Not Supported")                                                         \
    ROW(507, "Insufficient Storage")

const char *obs_http1_status_text(int status)
{
    switch (status) {
#define STATUS_CASE(code, text)                                                                    \
    case code:                                                                                     \
        return text;
        STATUS_TEXTS(STATUS_CASE)
#undef STATUS_CASE
    default:
        return "Unknown";
    }
}
