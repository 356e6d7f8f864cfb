#pragma once
/*
 * Profile selector: which profiles a query means, and the name under which a client pushes one.
 *
 *   query   storefront.cpu{version="1.2",tier!="web",zone=~"eu-.*"}
 *           process_cpu:cpu:nanoseconds:cpu:nanoseconds{service_name="storefront"}
 *   name    storefront.cpu{version=1.2,zone="eu-1"}
 *
 * Every stored series has service_name, __type__ ("cpu"), __profile_type__ (the id),
 * __name__ ("storefront.cpu") and the labels of its name. Names that begin with "__" in a pushed
 * name are a client's private ones and are left out. Regular expressions: regex.h, anchored.
 */
#include "base/cleanup.h"
#include "base/reason.h"
#include "telemetry/profile_type.h"
#include "telemetry/store.h"

#define PROFILE_MATCHERS_MAX 32
#define PROFILE_SELECTOR_SIZE_MAX 8192
#define PROFILE_LABELS_MAX 36 /* of a series, with our own four */
#define PROFILE_LABEL_SIZE_MAX 1024

enum profile_selector_outcome {
    PROFILE_SELECTOR_OK = 0,
    PROFILE_SELECTOR_REFUSED = 1, /* reason: the token, and its column */
};

struct profile_selector {
    struct matcher matchers[PROFILE_MATCHERS_MAX];
    size_t matcher_count;
    const struct profile_type *type; /* the one that is asked for; NULL when a matcher chooses */
    bool wants_nanoseconds;          /* asked for by an id that ends in nanoseconds */
    char *texts;                     /* what the matchers point into */
};

/* A type that is not named is cpu. */
int profile_selector_parse(const char *text, struct profile_selector **ret_selector,
                           struct obs_reason *reterr_reason);
struct profile_selector *profile_selector_free(struct profile_selector *selector);
/* A regular expression was too costly for some value: what matched is not the whole answer. */
bool profile_selector_gave_up(const struct profile_selector *selector);
bool profile_matches(const struct matcher *matchers, size_t matcher_count,
                     const struct label *labels, size_t label_count);

struct profile_name {
    struct text_view service;
    const struct profile_type *type; /* NULL: the name does not say */
    struct label labels[PROFILE_LABELS_MAX];
    size_t label_count; /* of the name alone, sorted */
    char *texts;
};
int profile_name_parse(const char *text, struct profile_name *ret_name,
                       struct obs_reason *reterr_reason);
void profile_name_done(struct profile_name *name);
OBS_DEFINE_CLEANUP(struct profile_selector *, profile_selector_free)
