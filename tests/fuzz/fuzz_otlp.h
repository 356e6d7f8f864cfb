#pragma once
/* OTLP, in the encoding that DECODE reads: any bytes are decoded or refused; what is kept can be
 * read again. The first byte says whether they are logs. */
#include "telemetry/otlp_sink.h"
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct store *store;
static char folder[] = "/tmp/observa-fuzz-XXXXXX";

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static void clean_up(void)
{
    store = store_free(store);
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void open_once(void)
{
    struct store_options options = {.folder = folder};

    if (store)
        return;
    if (!mkdtemp(folder) || store_open(&options, &store, NULL) != 0)
        abort();
    atexit(clean_up);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool is_logs = size > 0 && (data[0] & 1) != 0;
    struct store_batch *batch = NULL;
    struct otlp_sink sink;
    struct obs_reason why = {0};
    char *text = malloc(size + 1);

    if (!text)
        abort();
    open_once();
    memcpy(text, data + (size > 0), size - (size > 0)); /* a copy of the exact size */
    if ((is_logs ? store_batch_lines(store, "fuzz", &batch, &why)
                 : store_batch_spans(store, "fuzz", &batch, &why)) != 0 ||
        otlp_sink_init(&sink, batch, is_logs) != 0)
        abort();
    DECODE(&sink, (struct text_view){text, size - (size > 0)}, &why);
    if (store_batch_count(batch) != sink.accepted)
        abort();
    otlp_sink_done(&sink);
    store_batch_free(batch);
    free(text);
    return 0;
}
