#pragma once
/*
 * Template: text with {variables}, cut into pieces once.
 *
 * `{name}` with a known variable is replaced; `{{` stands for one brace. Other braces are plain
 * text, so that a JSON body needs no escapes; but `{word}` with an unknown word is refused as a
 * mistake.
 */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "load/variable.h"

struct template;

/**
 * template_compile() - cut @text into pieces
 * @bare_numbers: `"{name}"` of a variable that is a number loses its quotes (JSON bodies given as
 *                objects)
 * @ret_unknown: on -ENOENT: the unknown name, NUL-terminated, at most 40 bytes
 * Return: 0, -ENOENT (an unknown variable), -ENOMEM.
 */
int template_compile(const char *text, enum variable_use use, bool bare_numbers,
                     const struct variable_table *table, struct template **ret_template,
                     char ret_unknown[48]);
struct template *template_free(struct template *t);

/* Append the text with @values in place. Return: 0 or the buffer's error. */
int template_emit(const struct template *t, const struct variable_table *table,
                  const struct variable_values *values, struct obs_buffer *b);
/* Bit i: variable i occurs. */
uint64_t template_variables(const struct template *t);
OBS_DEFINE_CLEANUP(struct template *, template_free)
