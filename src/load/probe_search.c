/* uncached_search: a search that no cache answers; how long does it take, and is there an answer?
 */
#include "load/probe_internal.h"
#include <stdio.h>

void probe_search_run(struct probe *p)
{
    OBS_JSON json = NULL;
    char term[64], target[160];
    int status;

    probe_draw(p->probes, "term", "lamp", term, sizeof(term));
    snprintf(target, sizeof(target), "/api/search?q=%s&fresh=1", term);
    status = probe_get(p, p->probes->target, target, true, &json);
    if (status == 0 || status >= 500 || status == 429)
        probe_error(p);
    else
        probe_check(p, status == 200 && json_is_array(json_object_get(json, "items")),
                    "the search has no list of items");
}
