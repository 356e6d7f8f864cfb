#pragma once
/*
 * Symbols: names of code addresses of this process, from the symbol tables of the files it is made
 * of.
 *
 * Nothing is kept between calls: a profile is read seldom, and tables of names would be the largest
 * thing in an idle service.
 */
#include "base/cleanup.h"
#include <stddef.h>
#include <stdint.h>

struct obs_symbols;

struct obs_symbol {
    uintptr_t address;
    const char *name; /* never NULL: "[libc.so.6]" when the file has no name for it, "[unknown]" */
    const char *module; /* path of the file, "" when there is none */
};

/* Name @addresses[count], ascending and each once. Return: 0, -ENOMEM. */
int obs_symbols_resolve(const uintptr_t *addresses, size_t count, struct obs_symbols **ret_symbols);
struct obs_symbols *obs_symbols_free(struct obs_symbols *symbols);
/* @index: as in @addresses. */
const struct obs_symbol *obs_symbols_at(const struct obs_symbols *symbols, size_t index);
/* @address must be one of those resolved. */
size_t obs_symbols_index(const struct obs_symbols *symbols, uintptr_t address);
OBS_DEFINE_CLEANUP(struct obs_symbols *, obs_symbols_free)
