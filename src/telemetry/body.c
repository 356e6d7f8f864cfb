/* Bodies of requests, and whose they are. */
#include "telemetry/telemetry.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>
#include <zstd.h>

enum { PIECE = 64 << 10, ZSTD_WINDOW_LOG_MAX = 23 };

static int refuse(struct obs_reason *reterr_reason, int status, const char *text)
{
    obs_reason_set(reterr_reason, "%s", text);
    return status;
}

static int room_for(struct obs_buffer *out, size_t limit, char **ret_room, size_t *ret_size,
                    struct obs_reason *reterr_reason)
{
    size_t left = limit - out->size, size = left < PIECE ? left : PIECE;

    if (size == 0) {
        obs_reason_set(reterr_reason, "the body is larger than %zu bytes when decompressed", limit);
        return 413;
    }
    *ret_size = size;
    if (obs_buffer_reserve(out, size, ret_room) < 0)
        return refuse(reterr_reason, 413, "there is no memory for the decompressed body");
    return 0;
}

static int inflate_all(const char *data, size_t size, size_t limit, struct obs_buffer *out,
                       struct obs_reason *reterr_reason)
{
    z_stream z = {.next_in = (Bytef *)data, .avail_in = (uInt)size};
    int r = 0, status = Z_OK;

    if (inflateInit2(&z, 15 + 16) != Z_OK)
        return refuse(reterr_reason, 413, "there is no memory to decompress the body");
    while (r == 0 && status != Z_STREAM_END) {
        size_t room;
        char *at;

        r = room_for(out, limit + 1, &at, &room, reterr_reason);
        if (r != 0)
            break;
        z.next_out = (Bytef *)at;
        z.avail_out = (uInt)room;
        status = inflate(&z, Z_NO_FLUSH);
        obs_buffer_added(out, room - z.avail_out);
        if (status != Z_OK && status != Z_STREAM_END)
            r = refuse(reterr_reason, 400, "the gzip body is damaged or cut short");
        else if (status == Z_OK && z.avail_in == 0 && z.avail_out > 0)
            r = refuse(reterr_reason, 400, "the gzip body is cut short");
    }
    if (r == 0 && z.avail_in > 0)
        r = refuse(reterr_reason, 400, "there are bytes behind the gzip body");
    inflateEnd(&z);
    return r;
}

static int unzstd_all(const char *data, size_t size, size_t limit, struct obs_buffer *out,
                      struct obs_reason *reterr_reason)
{
    ZSTD_DStream *z = ZSTD_createDStream();
    ZSTD_inBuffer in = {data, size, 0};
    size_t hint = 1;
    int r = 0;

    if (!z)
        return refuse(reterr_reason, 413, "there is no memory to decompress the body");
    ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
    while (r == 0 && (hint != 0 || in.pos < in.size)) {
        ZSTD_outBuffer piece = {0};
        char *at;

        r = room_for(out, limit + 1, &at, &piece.size, reterr_reason);
        if (r != 0)
            break;
        piece.dst = at;
        hint = ZSTD_decompressStream(z, &piece, &in);
        if (ZSTD_isError(hint)) {
            r = refuse(reterr_reason, 400, "the zstd body is damaged, or its window is over 8 MiB");
            break;
        }
        obs_buffer_added(out, piece.pos);
        if (hint != 0 && in.pos == in.size && piece.pos < piece.size)
            r = refuse(reterr_reason, 400, "the zstd body is cut short");
    }
    ZSTD_freeDStream(z);
    return r;
}

int telemetry_body(struct obs_http_request *request, size_t limit, struct obs_buffer *ret_body,
                   struct obs_reason *reterr_reason)
{
    const char *encoding = obs_http_header(request, "content-encoding");
    struct obs_buffer body = OBS_BUFFER_INIT(limit + PIECE);
    size_t size;
    const char *data = obs_http_body(request, &size);
    int r = 0;

    if (!encoding || encoding[0] == '\0' || strcasecmp(encoding, "identity") == 0) {
        if (size <= limit && obs_buffer_append(&body, data, size) < 0)
            r = refuse(reterr_reason, 413, "there is no memory for the body");
        if (size > limit)
            body.size = size;
    } else if (strcasecmp(encoding, "gzip") == 0) {
        r = inflate_all(data, size, limit, &body, reterr_reason);
    } else if (strcasecmp(encoding, "zstd") == 0) {
        r = unzstd_all(data, size, limit, &body, reterr_reason);
    } else {
        obs_reason_set(reterr_reason, "Content-Encoding \"%.40s\": expected gzip, zstd or identity",
                       encoding);
        r = 415;
    }
    if (r == 0 && body.size > limit) {
        obs_reason_set(reterr_reason, "the body is larger than %zu bytes", limit);
        r = 413;
    }
    if (r != 0)
        obs_buffer_done(&body);
    else
        *ret_body = body;
    return r;
}
