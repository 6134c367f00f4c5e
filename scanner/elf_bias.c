/* SPDX-License-Identifier: Apache-2.0 */
/* Where a file's addresses are in a process. */
#include "elf.h"

#define PAGE UINT64_C(4096)

/* Whether the page of the file at off is one of those that a loader maps for the segment. */
static bool segment_has(const Elf64_Phdr *ph, uint64_t off)
{
	uint64_t first = ph->p_offset & ~(PAGE - 1);
	uint64_t last;

	if (ph->p_type != PT_LOAD || ph->p_filesz == 0 ||
	    __builtin_add_overflow(ph->p_offset, ph->p_filesz - 1, &last)) {
		return false;
	}
	return ((ph->p_vaddr - ph->p_offset) & (PAGE - 1)) == 0 && off >= first &&
	       off <= (last | (PAGE - 1));
}

bool elf_bias(const struct elf *e, uint64_t start, uint64_t off, uint64_t *bias)
{
	const Elf64_Phdr *best = NULL;

	for (size_t i = 0; i < e->nphdrs; i++) {
		const Elf64_Phdr *ph = &e->phdrs[i];

		if (segment_has(ph, off) &&
		    (best == NULL || (!(best->p_flags & PF_X) && (ph->p_flags & PF_X)))) {
			best = ph;
		}
	}
	if (best == NULL) {
		return false;
	}
	/* Modulo 2^64, as addresses are. */
	*bias = start - (best->p_vaddr - best->p_offset + off);
	return true;
}

void elf_where_at(struct elf *e, uint64_t bias, uint64_t vaddr, struct elf_where *where)
{
	elf_where(e, vaddr - bias, where);
	where->section_start += bias;
	where->section_end += bias;
	where->symbol_start += bias;
	where->fde_start += bias;
	where->fde_end += bias;
	if (where->next_symbol != UINT64_MAX) {
		where->next_symbol += bias;
	}
	if (where->next_fde != UINT64_MAX) {
		where->next_fde += bias;
	}
}
