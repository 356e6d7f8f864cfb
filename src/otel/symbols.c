/*
 * The loader knows which files are mapped where (dl_iterate_phdr); libelf reads each file that
 * holds at least one wanted address. .symtab has static functions too; a stripped file has only
 * .dynsym.
 */
#include "otel/symbols.h"

#include "base/arena.h"
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>

#define NAMES_MAX (8u << 20)

struct obs_symbols {
    struct obs_arena *names;
    struct obs_symbol *items;
    size_t count;
};

/* One executable segment of a mapped file, and the wanted addresses inside. */
struct segment {
    struct obs_symbols *symbols;
    const char *path, *module;
    uintptr_t bias; /* address in memory minus address in the file */
    size_t first, end;
};

struct function {
    uintptr_t start, size;
    const char *name; /* in the ELF file's string table */
};

struct obs_symbols *obs_symbols_free(struct obs_symbols *symbols)
{
    if (!symbols)
        return NULL;
    obs_arena_free(symbols->names);
    free(symbols->items);
    free(symbols);
    return NULL;
}

/* ---- one file ---- */

static int compare_functions(const void *a, const void *b)
{
    const struct function *f = a, *g = b;

    return f->start < g->start ? -1 : f->start > g->start;
}

static Elf_Scn *find_table(Elf *elf, unsigned type, GElf_Shdr *ret_header)
{
    Elf_Scn *section = NULL;

    while ((section = elf_nextscn(elf, section)))
        if (gelf_getshdr(section, ret_header) && ret_header->sh_type == type)
            return section;
    return NULL;
}

static bool is_function(const GElf_Sym *symbol)
{
    unsigned char type = GELF_ST_TYPE(symbol->st_info);

    return (type == STT_FUNC || type == STT_GNU_IFUNC) && symbol->st_shndx != SHN_UNDEF &&
           symbol->st_value != 0;
}

/* Hand-written assembly often has no size: then it reaches to the next function, at most to the end
 * of its section. */
static uintptr_t function_size(Elf *elf, const GElf_Sym *symbol)
{
    GElf_Shdr header;

    if (symbol->st_size > 0)
        return symbol->st_size;
    if (!gelf_getshdr(elf_getscn(elf, symbol->st_shndx), &header))
        return 0;
    return header.sh_addr + header.sh_size - symbol->st_value;
}

static struct function *read_functions(Elf *elf, size_t *ret_count)
{
    GElf_Shdr header;
    Elf_Scn *section = find_table(elf, SHT_SYMTAB, &header);
    Elf_Data *data;
    struct function *functions;
    size_t count = 0, all;
    GElf_Sym symbol;

    if (!section)
        section = find_table(elf, SHT_DYNSYM, &header);
    data = section ? elf_getdata(section, NULL) : NULL;
    if (!data || header.sh_entsize == 0)
        return NULL;
    all = header.sh_size / header.sh_entsize;
    functions = calloc(all ? all : 1, sizeof(*functions));
    for (size_t i = 0; functions && i < all; i++) {
        const char *name;

        if (!gelf_getsym(data, (int)i, &symbol) || !is_function(&symbol))
            continue;
        name = elf_strptr(elf, header.sh_link, symbol.st_name);
        if (name && *name)
            functions[count++] =
                (struct function){symbol.st_value, function_size(elf, &symbol), name};
    }
    if (functions)
        qsort(functions, count, sizeof(*functions), compare_functions);
    *ret_count = count;
    return functions;
}

/* The last function that starts at or before @address, if it reaches that far. Hand-written
 * assembly often has no size: then it reaches to the next one. */
static const struct function *find_function(const struct function *functions, size_t count,
                                            uintptr_t address)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (functions[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    while (low > 0) { /* aliases share a start, not always a size */
        const struct function *f = &functions[--low];

        if (address - f->start < f->size)
            return f;
        if (low == 0 || functions[low - 1].start != f->start)
            return NULL;
    }
    return NULL;
}

static void name_from_functions(const struct segment *segment, const struct function *functions,
                                size_t count)
{
    struct obs_symbols *symbols = segment->symbols;

    for (size_t i = segment->first; i < segment->end; i++) {
        struct obs_symbol *item = &symbols->items[i];
        const struct function *f = find_function(functions, count, item->address - segment->bias);
        /* "function.isra.0" and the like are the compiler's copies of one function */
        const char *name =
            f ? obs_arena_strndup(symbols->names, f->name, strcspn(f->name, ".@")) : NULL;

        if (name && *name)
            item->name = name;
    }
}

static void name_from_file(const struct segment *segment)
{
    struct function *functions;
    size_t count = 0;
    Elf *elf;
    int fd = open(segment->path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
    functions = elf ? read_functions(elf, &count) : NULL;
    if (functions)
        name_from_functions(segment, functions, count);
    free(functions);
    elf_end(elf);
    close(fd);
}

/* ---- all files ---- */

static size_t first_at_or_after(const struct obs_symbols *symbols, uintptr_t address)
{
    size_t low = 0, high = symbols->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (symbols->items[middle].address < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* "[libc.so.6]" until a better name is found. */
static void name_after_module(const struct segment *segment)
{
    struct obs_symbols *symbols = segment->symbols;
    const char *slash = strrchr(segment->module, '/');
    const char *name =
        obs_arena_printf(symbols->names, "[%s]", slash ? slash + 1 : segment->module);

    for (size_t i = segment->first; i < segment->end; i++) {
        symbols->items[i].module = segment->module;
        if (name)
            symbols->items[i].name = name;
    }
}

static const char *program_path(struct obs_arena *names)
{
    char path[4096];
    ssize_t size = readlink("/proc/self/exe", path, sizeof(path));
    const char *copy = size > 0 ? obs_arena_strndup(names, path, (size_t)size) : NULL;

    return copy ? copy : "";
}

static int visit_module(struct dl_phdr_info *info, size_t size, void *userdata)
{
    struct obs_symbols *symbols = userdata;
    struct segment segment = {.symbols = symbols, .path = info->dlpi_name, .bias = info->dlpi_addr};

    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + header->p_vaddr;

        if (header->p_type != PT_LOAD || !(header->p_flags & PF_X))
            continue;
        segment.first = first_at_or_after(symbols, start);
        segment.end = first_at_or_after(symbols, start + header->p_memsz);
        if (segment.first == segment.end)
            continue;
        if (!*segment.path) { /* the program; its path may lead to a newer build by now */
            segment.path = "/proc/self/exe";
            segment.module = program_path(symbols->names);
        } else {
            segment.module = obs_arena_strndup(symbols->names, segment.path, strlen(segment.path));
        }
        if (!segment.module)
            segment.module = "";
        name_after_module(&segment);
        name_from_file(&segment);
    }
    return 0;
}

int obs_symbols_resolve(const uintptr_t *addresses, size_t count, struct obs_symbols **ret_symbols)
{
    OBS_CLEANUP(obs_symbols_freep) struct obs_symbols *symbols = calloc(1, sizeof(*symbols));
    int r;

    if (!symbols)
        return -ENOMEM;
    r = obs_arena_new(NAMES_MAX, &symbols->names);
    if (r < 0)
        return r;
    symbols->items = calloc(count ? count : 1, sizeof(*symbols->items));
    if (!symbols->items)
        return -ENOMEM;
    symbols->count = count;
    for (size_t i = 0; i < count; i++)
        symbols->items[i] = (struct obs_symbol){addresses[i], "[unknown]", ""};
    elf_version(EV_CURRENT);
    dl_iterate_phdr(visit_module, symbols);
    *ret_symbols = OBS_TAKE(symbols);
    return 0;
}

const struct obs_symbol *obs_symbols_at(const struct obs_symbols *symbols, size_t index)
{
    return &symbols->items[index];
}

size_t obs_symbols_index(const struct obs_symbols *symbols, uintptr_t address)
{
    return first_at_or_after(symbols, address);
}
