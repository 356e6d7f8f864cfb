/* What a gateway's clients put into its access log, and what claims to be its status. */
#include "agent/access_log.h"
#include "agent/stub_status.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const ROUTES[] = {"/a", "/a/{id}", "/a/{id}/b", NULL};
    static struct access_log *log;
    struct access_log_options options = {.service = "gateway", .version = "1", .routes = ROUTES};
    struct stub_status status;
    char *text = malloc(size + 1);

    if (!text || (!log && access_log_new(&options, &log) < 0))
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    access_log_take(log, text, size);
    access_log_route(ROUTES, text);
    stub_status_parse(text, &status);
    free(text);
    return 0;
}
