/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sections and symbols of an address. All of it comes from tables that no loader reads: it explains
 * a finding and decides nothing. The tables may be larger than memory and may lie; what is kept is
 * bounded, and no question costs more than a search, or (beyond the budget) one pass over the
 * table.
 */
#include <stdlib.h>
#include <string.h>

#include "elf.h"

#define CHUNK_SYMBOLS 2048
#define MAX_SYMBOLS (UINT64_C(1) << 24) /* of one table: a sparse file may claim any number */
#define STREAM_BYTES (UINT64_C(4) << 30)
#define NAME_BYTES 255

/* ---- sections -------------------------------------------------------------------------------- */

void elf_section_name(const struct elf *e, char *dst, size_t size, const Elf64_Shdr *shdr)
{
	const Elf64_Shdr *names = &e->shdrs[e->shstrndx];
	char text[NAME_BYTES];
	uint64_t off;
	size_t len = sizeof(text);

	dst[0] = '\0';
	if (e->shstrndx == 0 || shdr->sh_name >= names->sh_size ||
	    __builtin_add_overflow(names->sh_offset, (uint64_t)shdr->sh_name, &off)) {
		return;
	}
	if (len > names->sh_size - shdr->sh_name) {
		len = names->sh_size - shdr->sh_name;
	}
	if (source_read_some(&e->src, off, text, len, &len) == 0) {
		elf_clean_string(dst, size, text, len);
	}
}

/* Where a section lies: by address, in ET_REL by file offset. Empty: nowhere. */
static struct span section_span(const struct elf *e, const Elf64_Shdr *shdr)
{
	struct span span = {0, 0, 0};
	bool rel = e->ehdr.e_type == ET_REL;

	if ((shdr->sh_flags & SHF_ALLOC) == 0 || shdr->sh_type == SHT_NULL ||
	    (shdr->sh_type == SHT_NOBITS && (rel || (shdr->sh_flags & SHF_TLS) != 0))) {
		return span;
	}
	span.start = rel ? shdr->sh_offset : shdr->sh_addr;
	if (__builtin_add_overflow(span.start, shdr->sh_size, &span.end)) {
		span.end = span.start;
	}
	return span;
}

static void load_sections(struct elf *e)
{
	struct span *in = calloc(e->nshdrs + 1, sizeof(*in));
	size_t n = 0;

	e->sections_loaded = true;
	if (in == NULL) {
		return;
	}
	for (size_t i = 0; i < e->nshdrs; i++) {
		in[n] = section_span(e, &e->shdrs[i]);
		in[n].owner = (uint32_t)i;
		n += in[n].start < in[n].end;
	}
	if (span_flatten(&e->sections, &e->nsections, in, n) != 0) {
		e->nsections = 0;
	}
	free(in);
}

static void where_section(struct elf *e, uint64_t vaddr, struct elf_where *where)
{
	const struct span *span;
	const Elf64_Shdr *shdr;
	struct span whole;

	if (!e->sections_loaded) {
		load_sections(e);
	}
	span = span_find(e->sections, e->nsections, vaddr);
	if (span == NULL) {
		return;
	}
	shdr = &e->shdrs[span->owner];
	whole = section_span(e, shdr);
	where->in_section = true;
	where->section_is_code =
		(shdr->sh_flags & SHF_EXECINSTR) != 0 && shdr->sh_type != SHT_NOBITS;
	where->section_start = whole.start;
	where->section_end = whole.end;
	elf_section_name(e, where->section, sizeof(where->section), shdr);
}

/* ---- symbols --------------------------------------------------------------------------------- */

static void find_table(const struct elf *e, struct elf_symtab *table, uint32_t type)
{
	for (size_t i = 0; i < e->nshdrs; i++) {
		const Elf64_Shdr *shdr = &e->shdrs[i];
		const Elf64_Shdr *names;

		if (shdr->sh_type == SHT_SYMTAB_SHNDX && type == SHT_SYMTAB) {
			table->shndx_off = shdr->sh_offset;
		}
		if (shdr->sh_type != type || table->count > 0 || shdr->sh_link >= e->nshdrs ||
		    shdr->sh_entsize != sizeof(Elf64_Sym)) {
			continue;
		}
		names = &e->shdrs[shdr->sh_link];
		if (names->sh_type == SHT_STRTAB) {
			table->off = shdr->sh_offset;
			table->count = shdr->sh_size / sizeof(Elf64_Sym);
			table->count = table->count < MAX_SYMBOLS ? table->count : MAX_SYMBOLS;
			table->str_off = names->sh_offset;
			table->str_size = names->sh_size;
		}
	}
}

static uint8_t symbol_rank(const Elf64_Sym *sym)
{
	unsigned type = ELF64_ST_TYPE(sym->st_info);
	unsigned bind = ELF64_ST_BIND(sym->st_info);
	unsigned rank = type == STT_FUNC || type == STT_GNU_IFUNC ? 8 : type == STT_OBJECT ? 4 : 0;

	rank += bind == STB_GLOBAL || bind == STB_GNU_UNIQUE ? 2 : bind == STB_WEAK ? 1 : 0;
	return (uint8_t)rank;
}

/* Whether the symbol names a place in executable memory; *start: which. */
static bool symbol_start(const struct elf *e, const Elf64_Sym *sym, uint32_t shndx, uint64_t *start)
{
	const struct span *span;

	if (e->ehdr.e_type == ET_REL) {
		if (shndx >= e->nshdrs || (e->shdrs[shndx].sh_flags & SHF_EXECINSTR) == 0 ||
		    e->shdrs[shndx].sh_type == SHT_NOBITS ||
		    sym->st_value > e->shdrs[shndx].sh_size) {
			return false;
		}
		return !__builtin_add_overflow(e->shdrs[shndx].sh_offset, sym->st_value, start);
	}
	*start = sym->st_value;
	span = span_find(e->loads, e->nloads, sym->st_value);
	return span != NULL && (e->phdrs[span->owner].p_flags & PF_X) != 0;
}

static bool take_symbol(const struct elf *e, struct elf_symbol *out, unsigned table,
			const Elf64_Sym *sym, uint32_t extended)
{
	unsigned type = ELF64_ST_TYPE(sym->st_info);
	uint32_t shndx = sym->st_shndx;

	if (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE && type != STT_OBJECT) {
		return false;
	}
	if (shndx == SHN_XINDEX) {
		shndx = extended;
	} else if (shndx == SHN_UNDEF || shndx >= SHN_LORESERVE) {
		return false;
	}
	if (sym->st_name == 0 || sym->st_name >= e->symtabs[table].str_size ||
	    !symbol_start(e, sym, shndx, &out->start)) {
		return false;
	}
	out->size = sym->st_size;
	out->name = sym->st_name;
	out->type = (uint8_t)type;
	out->table = (uint8_t)table;
	out->rank = symbol_rank(sym);
	return true;
}

/* Which comes first: a total order, so that the index and the stream give the same answer. */
static int compare_symbols(const void *a, const void *b)
{
	const struct elf_symbol *x = a;
	const struct elf_symbol *y = b;

	if (x->start != y->start) {
		return x->start < y->start ? -1 : 1;
	}
	if (x->rank != y->rank) {
		return x->rank > y->rank ? -1 : 1;
	}
	if (x->table != y->table) {
		return x->table < y->table ? -1 : 1;
	}
	if (x->size != y->size) {
		return x->size > y->size ? -1 : 1;
	}
	return (x->name > y->name) - (x->name < y->name);
}

/*
 * Calls fn for each symbol of both tables that names a place in executable memory. Returns how many
 * bytes were read; it stops where a table cannot be read further.
 */
static uint64_t each_symbol(const struct elf *e,
			    void (*fn)(void *ctx, const struct elf_symbol *symbol), void *ctx)
{
	Elf64_Sym *syms = malloc(CHUNK_SYMBOLS * (sizeof(Elf64_Sym) + sizeof(uint32_t)));
	uint32_t *extended = (uint32_t *)(void *)(syms + CHUNK_SYMBOLS);
	uint64_t bytes = 0;

	for (unsigned t = 0; t < 2 && syms != NULL; t++) {
		const struct elf_symtab *table = &e->symtabs[t];

		for (uint64_t at = 0; at < table->count;) {
			uint64_t want = table->count - at < CHUNK_SYMBOLS ? table->count - at
									  : CHUNK_SYMBOLS;
			uint64_t off;
			size_t got;
			size_t got_extended = 0;

			if (__builtin_add_overflow(table->off, at * sizeof(*syms), &off) ||
			    source_read_some(&e->src, off, syms, want * sizeof(*syms), &got) != 0) {
				break;
			}
			bytes += got;
			got /= sizeof(*syms);
			if (table->shndx_off != 0 &&
			    !__builtin_add_overflow(table->shndx_off, at * sizeof(*extended),
						    &off) &&
			    source_read_some(&e->src, off, extended, got * sizeof(*extended),
					     &got_extended) != 0) {
				got_extended = 0;
			}
			for (size_t i = 0; i < got; i++) {
				struct elf_symbol symbol = {0};
				bool has = (i + 1) * sizeof(*extended) <= got_extended;

				if (take_symbol(e, &symbol, t, &syms[i],
						has ? extended[i] : SHN_UNDEF)) {
					fn(ctx, &symbol);
				}
			}
			if (got < want) {
				break;
			}
			at += got;
		}
	}
	free(syms);
	return bytes;
}

static void count_symbol(void *ctx, const struct elf_symbol *symbol)
{
	(void)symbol;
	(*(uint64_t *)ctx)++;
}

struct fill {
	struct elf_symbol *symbols;
	size_t count, room; /* the file may have grown between the two passes */
};

static void fill_symbol(void *ctx, const struct elf_symbol *symbol)
{
	struct fill *fill = ctx;

	if (fill->count < fill->room) {
		fill->symbols[fill->count++] = *symbol;
	}
}

static void load_symbols(struct elf *e)
{
	struct fill fill = {NULL, 0, 0};
	uint64_t count = 0;
	size_t unique = 0;

	e->symbols_loaded = true;
	e->stream_left = STREAM_BYTES;
	find_table(e, &e->symtabs[0], SHT_SYMTAB);
	find_table(e, &e->symtabs[1], SHT_DYNSYM);
	if (e->symtabs[0].count == 0 && e->symtabs[1].count == 0) {
		elf_dynamic_symbols(e, &e->symtabs[1]);
	}
	each_symbol(e, count_symbol, &count);
	/* qsort takes as much again. */
	if (count > e->symbol_budget / (2 * sizeof(*e->symbols))) {
		e->symbols_streamed = true;
		return;
	}
	if (count == 0) {
		return;
	}
	fill.room = count;
	fill.symbols = malloc(count * sizeof(*fill.symbols));
	if (fill.symbols == NULL) {
		e->symbols_streamed = true;
		return;
	}
	each_symbol(e, fill_symbol, &fill);
	qsort(fill.symbols, fill.count, sizeof(*fill.symbols), compare_symbols);
	for (size_t i = 0; i < fill.count; i++) {
		if (unique == 0 || fill.symbols[unique - 1].start != fill.symbols[i].start) {
			fill.symbols[unique++] = fill.symbols[i];
		}
	}
	e->symbols = fill.symbols;
	e->nsymbols = unique;
}

struct nearest {
	uint64_t vaddr;
	bool found;
	struct elf_symbol symbol;
	uint64_t next;
};

static void nearest_symbol(void *ctx, const struct elf_symbol *symbol)
{
	struct nearest *nearest = ctx;

	if (symbol->start > nearest->vaddr) {
		nearest->next = symbol->start < nearest->next ? symbol->start : nearest->next;
		return;
	}
	if (!nearest->found || symbol->start > nearest->symbol.start ||
	    (symbol->start == nearest->symbol.start &&
	     compare_symbols(symbol, &nearest->symbol) < 0)) {
		nearest->symbol = *symbol;
		nearest->found = true;
	}
}

/* Findings come in ascending order: most questions are about the symbol of the one before. */
static void search_stream(struct elf *e, struct nearest *nearest)
{
	uint64_t bytes;

	if (e->stream_known && nearest->vaddr >= e->stream_first &&
	    nearest->vaddr < e->stream_until) {
		nearest->found = true;
		nearest->symbol = e->stream_symbol;
		nearest->next = e->stream_until;
		return;
	}
	if (e->stream_left == 0) {
		return;
	}
	bytes = each_symbol(e, nearest_symbol, nearest);
	e->stream_left -= bytes < e->stream_left ? bytes : e->stream_left;
	e->stream_known = nearest->found;
	e->stream_symbol = nearest->symbol;
	e->stream_first = nearest->symbol.start;
	e->stream_until = nearest->next;
}

static void search_index(const struct elf *e, struct nearest *nearest)
{
	size_t lo = 0;
	size_t hi = e->nsymbols;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (e->symbols[mid].start <= nearest->vaddr) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	if (lo < e->nsymbols) {
		nearest->next = e->symbols[lo].start;
	}
	if (lo > 0) {
		nearest->found = true;
		nearest->symbol = e->symbols[lo - 1];
	}
}

static void symbol_name(const struct elf *e, char *dst, size_t size,
			const struct elf_symbol *symbol)
{
	const struct elf_symtab *table = &e->symtabs[symbol->table];
	char text[NAME_BYTES];
	uint64_t off;
	size_t len = sizeof(text);

	if (__builtin_add_overflow(table->str_off, (uint64_t)symbol->name, &off)) {
		return;
	}
	if (len > table->str_size - symbol->name) {
		len = table->str_size - symbol->name;
	}
	if (source_read_some(&e->src, off, text, len, &len) == 0) {
		elf_clean_string(dst, size, text, len);
	}
}

static void where_symbol(struct elf *e, uint64_t vaddr, struct elf_where *where)
{
	struct nearest nearest = {.vaddr = vaddr, .next = UINT64_MAX};

	if (!e->symbols_loaded) {
		load_symbols(e);
	}
	if (e->symbols_streamed) {
		search_stream(e, &nearest);
	} else {
		search_index(e, &nearest);
	}
	where->next_symbol = nearest.next;
	if (nearest.found) {
		where->has_symbol = true;
		where->symbol_start = nearest.symbol.start;
		where->symbol_size = nearest.symbol.size;
		where->symbol_type = nearest.symbol.type;
		symbol_name(e, where->symbol, sizeof(where->symbol), &nearest.symbol);
	}
}

void elf_where(struct elf *e, uint64_t vaddr, struct elf_where *where)
{
	memset(where, 0, sizeof(*where));
	where->has_sections = e->nshdrs > 0;
	where->next_symbol = UINT64_MAX;
	where->next_fde = UINT64_MAX;
	where_section(e, vaddr, where);
	where_symbol(e, vaddr, where);
	if (e->ehdr.e_type != ET_REL) {
		elf_where_unwind(e, vaddr, where);
	}
}
