/* SPDX-License-Identifier: Apache-2.0 */
#include "repair_know.h"

#define PAGE UINT64_C(4096)

static bool section_overlaps(const Elf64_Shdr *s, uint64_t start, uint64_t end)
{
	return (s->sh_flags & (SHF_ALLOC | SHF_EXECINSTR)) == (SHF_ALLOC | SHF_EXECINSTR) && s->sh_addr < end &&
	       s->sh_addr + s->sh_size > start;
}

/* Do the headers say for sure that there is no code on these pages? */
static bool pages_hold_code(struct elf *elf, uint64_t start, uint64_t end)
{
	struct elf_where where;

	start &= ~(PAGE - 1);
	end = (end + PAGE - 1) & ~(PAGE - 1);
	if (elf->nshdrs == 0 || (elf->ehdr.e_entry >= start && elf->ehdr.e_entry < end)) {
		return true;
	}
	for (size_t i = 0; i < elf->nshdrs; i++) {
		if (section_overlaps(&elf->shdrs[i], start, end)) {
			return true;
		}
	}
	elf_where(elf, start, &where);
	return where.has_fdes && (where.in_fde || where.next_fde < end);
}

static void know_function(struct repair_stray *stray, struct elf *elf, uint64_t bias)
{
	struct elf_where where, before;

	elf_where_at(elf, bias, stray->hit.vaddr, &where);
	if (!where.in_fde || where.fde_start > stray->insn_vaddr || where.fde_start == 0) {
		return;
	}
	stray->code_start = where.fde_start;
	stray->gaps[1] = (struct repair_area){where.fde_end, where.next_fde > where.fde_end ? where.next_fde : where.fde_end};
	stray->gaps[0] = (struct repair_area){where.fde_start, where.fde_start};
	elf_where_at(elf, bias, where.fde_start - 1, &before);
	if (!before.in_fde && before.fde_end != bias && before.fde_end < where.fde_start) {
		stray->gaps[0].start = before.fde_end;
	}
}

void repair_know(struct repair_stray *stray, struct elf *elf, uint64_t bias)
{
	if (stray->placement == LYCH_PLACE_DATA) {
		uint64_t vaddr = stray->hit.vaddr - bias;

		stray->pages_hold_code = pages_hold_code(elf, vaddr, vaddr + stray->hit.len);
	}
	know_function(stray, elf, bias);
}
