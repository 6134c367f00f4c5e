/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layout that loaders make. For each PT_LOAD in the order of the table, fs/binfmt_elf.c
 *(elf_map) and glibc (_dl_map_object_from_fd, _dl_map_segments) map with MAP_FIXED
 *
 *	addresses  [p_vaddr rounded down to a page, p_vaddr + p_filesz rounded up to a page)
 *	from       p_offset - (p_vaddr modulo page)
 *
 * so that code begins before p_offset and goes on behind p_filesz, also for a p_filesz of 0 when
 * p_vaddr is not at the begin of a page.
 *
 * Where loaders differ, more is scanned rather than less. The tail of the last page behind p_filesz
 * is zeroed when p_memsz is larger, but not by every kernel for every segment: the file's bytes are
 * taken. Pages that hold only zeros (p_memsz beyond the last page of p_filesz) can hold no sequence;
 * they may or may not replace the pages of an earlier segment: taken as if not.
 */
#include <stdlib.h>

#include "range.h"

#define PAGE_MASK (RANGE_PAGE - 1)
#define MAX_SEGMENTS 65535
#define MAX_REPEAT 16
#define MIN_REPEAT_LIMIT (UINT64_C(1) << 20)

/* The pages of one PT_LOAD. -EBADMSG when they wrap; a span that is empty maps nothing. */
static int segment_pages(struct span *out, const Elf64_Phdr *phdr)
{
	uint64_t end;

	if (__builtin_add_overflow(phdr->p_vaddr, phdr->p_filesz, &end) ||
	    __builtin_add_overflow(end, PAGE_MASK, &end)) {
		return -EBADMSG;
	}
	out->start = phdr->p_vaddr & ~PAGE_MASK;
	out->end = end & ~PAGE_MASK;
	return 0;
}

bool range_segment_off(const Elf64_Phdr *phdr, uint64_t vaddr, uint64_t *off)
{
	if (vaddr >= phdr->p_vaddr) {
		return !__builtin_add_overflow(phdr->p_offset, vaddr - phdr->p_vaddr, off);
	}
	return !__builtin_sub_overflow(phdr->p_offset, phdr->p_vaddr - vaddr, off);
}

/* The same for what is in spans; *overlap: some segment lies over another. */
static int load_spans(struct span **out, size_t *nout, bool *overlap, const Elf64_Phdr *phdrs,
		      size_t nphdrs)
{
	struct span *in;
	size_t n = 0;
	int rc = 0;

	*out = NULL;
	*nout = 0;
	*overlap = false;
	if (nphdrs > MAX_SEGMENTS) {
		return -EBADMSG;
	}
	in = calloc(nphdrs + 1, sizeof(*in));
	if (in == NULL) {
		return -ENOMEM;
	}
	for (size_t i = 0; i < nphdrs && rc == 0; i++) {
		if (phdrs[i].p_type != PT_LOAD) {
			continue;
		}
		rc = segment_pages(&in[n], &phdrs[i]);
		in[n].owner = (uint32_t)i;
		n += rc == 0 && in[n].start < in[n].end;
	}
	if (rc == 0) {
		rc = span_flatten(out, nout, in, n);
	}
	if (rc == 0) {
		/* Nothing lies over anything when as many whole intervals came out as went in. */
		*overlap = *nout != n;
		for (size_t i = 0; i < *nout && !*overlap; i++) {
			struct span whole;

			*overlap = segment_pages(&whole, &phdrs[(*out)[i].owner]) != 0 ||
				   whole.start != (*out)[i].start || whole.end != (*out)[i].end;
		}
	}
	free(in);
	return rc;
}

int range_load_spans(struct span **out, size_t *nout, const Elf64_Phdr *phdrs, size_t nphdrs)
{
	bool overlap;

	return load_spans(out, nout, &overlap, phdrs, nphdrs);
}

int range_memory_overlaps(bool *overlaps, const Elf64_Phdr *phdrs, size_t nphdrs)
{
	struct span *in = calloc(nphdrs + 1, sizeof(*in));
	struct span *out = NULL;
	uint64_t wanted = 0, seen = 0;
	size_t n = 0, nout = 0;
	int rc;

	if (in == NULL) {
		return -ENOMEM;
	}
	*overlaps = false;
	for (size_t i = 0; i < nphdrs; i++) {
		Elf64_Phdr memory = phdrs[i];

		if (memory.p_type != PT_LOAD) {
			continue;
		}
		if (memory.p_filesz < memory.p_memsz) {
			memory.p_filesz = memory.p_memsz;
		}
		if (segment_pages(&in[n], &memory) != 0 ||
		    __builtin_add_overflow(wanted, in[n].end - in[n].start, &wanted)) {
			*overlaps = true;
			free(in);
			return 0;
		}
		n += in[n].start < in[n].end;
	}
	rc = span_flatten(&out, &nout, in, n);
	for (size_t i = 0; i < nout; i++) {
		seen += out[i].end - out[i].start;
	}
	*overlaps = seen != wanted;
	free(out);
	free(in);
	return rc;
}

static unsigned flags_of_segments(const Elf64_Phdr *phdrs, size_t nphdrs, uint64_t file_size)
{
	unsigned flags = RANGE_NO_STACK_HEADER;

	for (size_t i = 0; i < nphdrs; i++) {
		const Elf64_Phdr *phdr = &phdrs[i];

		if (phdr->p_type == PT_GNU_STACK) {
			flags &= ~(unsigned)RANGE_NO_STACK_HEADER;
			flags |= phdr->p_flags & PF_X ? RANGE_EXEC_STACK : 0;
		}
		if (phdr->p_type != PT_LOAD || (phdr->p_flags & PF_X) == 0) {
			continue;
		}
		if (phdr->p_filesz > 0 &&
		    (phdr->p_offset > file_size || phdr->p_filesz > file_size - phdr->p_offset)) {
			flags |= RANGE_TRUNCATED;
		}
		if (((phdr->p_vaddr ^ phdr->p_offset) & PAGE_MASK) != 0) {
			flags |= RANGE_MISALIGNED;
		}
		if (phdr->p_flags & PF_W) {
			flags |= RANGE_WRITABLE;
		}
	}
	return flags;
}

/* Appends the bytes of the file that stand at [start, end); items has room. */
static void add_range(struct range_list *list, const Elf64_Phdr *phdr, uint64_t start, uint64_t end,
		      uint64_t file_size)
{
	struct range *range = &list->items[list->count];
	uint64_t before = phdr->p_vaddr - phdr->p_offset;

	/* Only a misaligned segment can begin before the file does. */
	if (start < phdr->p_vaddr && phdr->p_vaddr - start > phdr->p_offset) {
		start = before < end ? before : end;
	}
	if (start == end || !range_segment_off(phdr, start, &range->off) ||
	    range->off >= file_size) {
		return;
	}
	range->vaddr = start;
	range->len = end - start < file_size - range->off ? end - start : file_size - range->off;
	range->writable = (phdr->p_flags & PF_W) != 0;
	range->joins = list->count > 0 && range[-1].vaddr + range[-1].len == start;
	list->count++;
}

int range_of_segments(struct range_list *out, unsigned *flags, const Elf64_Phdr *phdrs,
		      size_t nphdrs, uint64_t file_size)
{
	struct span *spans;
	size_t nspans;
	uint64_t total = 0;
	uint64_t limit;
	bool overlap;
	int rc;

	*out = (struct range_list){NULL, 0};
	*flags = 0;
	rc = load_spans(&spans, &nspans, &overlap, phdrs, nphdrs);
	if (rc != 0) {
		return rc;
	}
	*flags = flags_of_segments(phdrs, nphdrs, file_size) | (overlap ? RANGE_OVERLAP : 0);

	out->items = calloc(nspans + 1, sizeof(*out->items));
	if (out->items == NULL) {
		rc = -ENOMEM;
		goto out;
	}
	if (__builtin_mul_overflow(file_size, (uint64_t)MAX_REPEAT, &limit)) {
		limit = UINT64_MAX;
	}
	limit = limit > MIN_REPEAT_LIMIT ? limit : MIN_REPEAT_LIMIT;
	for (size_t i = 0; i < nspans; i++) {
		const Elf64_Phdr *phdr = &phdrs[spans[i].owner];
		size_t count = out->count;

		if ((phdr->p_flags & PF_X) == 0) {
			continue;
		}
		add_range(out, phdr, spans[i].start, spans[i].end, file_size);
		if (out->count > count &&
		    __builtin_add_overflow(total, out->items[count].len, &total)) {
			total = UINT64_MAX;
		}
		if (total > limit) {
			*flags |= RANGE_REPEATED;
			rc = -EBADMSG;
			goto out;
		}
	}
out:
	free(spans);
	if (rc != 0) {
		range_free(out);
	}
	return rc;
}

/* The bytes of an executable section that the file has; empty for any other. */
static struct span section_bytes(const Elf64_Shdr *shdr, uint64_t file_size)
{
	struct span span = {0, 0, 0};

	if ((shdr->sh_flags & SHF_EXECINSTR) != 0 && shdr->sh_type != SHT_NOBITS &&
	    shdr->sh_type != SHT_NULL && shdr->sh_offset < file_size) {
		uint64_t left = file_size - shdr->sh_offset;

		span.start = shdr->sh_offset;
		span.end = span.start + (shdr->sh_size < left ? shdr->sh_size : left);
	}
	return span;
}

static unsigned flags_of_section(const Elf64_Shdr *shdr, uint64_t file_size)
{
	unsigned flags = 0;

	if ((shdr->sh_flags & SHF_EXECINSTR) == 0 || shdr->sh_type == SHT_NOBITS ||
	    shdr->sh_type == SHT_NULL || shdr->sh_size == 0) {
		return 0;
	}
	if (shdr->sh_offset > file_size || shdr->sh_size > file_size - shdr->sh_offset) {
		flags |= RANGE_TRUNCATED;
	}
	if (shdr->sh_flags & SHF_WRITE) {
		flags |= RANGE_WRITABLE;
	}
	return flags;
}

/*
 * In a relocatable object sections that touch are not neighbours after linking; only where they lie
 * over each other do the bytes of one go on behind the end of a piece.
 */
int range_of_sections(struct range_list *out, unsigned *flags, const Elf64_Shdr *shdrs,
		      size_t nshdrs, uint64_t file_size)
{
	struct span *in;
	struct span *spans = NULL;
	size_t nspans;
	size_t n = 0;
	int rc;

	*out = (struct range_list){NULL, 0};
	*flags = 0;
	in = calloc(nshdrs + 1, sizeof(*in));
	if (in == NULL) {
		return -ENOMEM;
	}
	for (size_t i = 0; i < nshdrs; i++) {
		*flags |= flags_of_section(&shdrs[i], file_size);
		in[n] = section_bytes(&shdrs[i], file_size);
		in[n].owner = (uint32_t)i;
		n += in[n].start < in[n].end;
	}
	rc = span_flatten(&spans, &nspans, in, n);
	if (rc != 0) {
		goto out;
	}
	out->items = calloc(nspans + 1, sizeof(*out->items));
	if (out->items == NULL) {
		rc = -ENOMEM;
		goto out;
	}
	*flags |= nspans != n ? RANGE_OVERLAP : 0;
	for (size_t i = 0; i < nspans; i++) {
		const Elf64_Shdr *shdr = &shdrs[spans[i].owner];
		struct span whole = section_bytes(shdr, file_size);
		struct range *range = &out->items[out->count++];

		if (whole.start != spans[i].start || whole.end != spans[i].end) {
			*flags |= RANGE_OVERLAP;
		}
		if (i > 0 && spans[i - 1].end == spans[i].start) {
			struct span before = section_bytes(&shdrs[spans[i - 1].owner], file_size);

			range->joins =
				whole.start != spans[i].start || before.end != spans[i - 1].end;
		}
		range->vaddr = spans[i].start;
		range->off = spans[i].start;
		range->len = spans[i].end - spans[i].start;
		range->writable = (shdr->sh_flags & SHF_WRITE) != 0;
	}
out:
	free(spans);
	free(in);
	return rc;
}

void range_free(struct range_list *list)
{
	free(list->items);
	*list = (struct range_list){NULL, 0};
}
