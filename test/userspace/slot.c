/* SPDX-License-Identifier: Apache-2.0 */
#include "program.h"

#include <elf.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

extern ElfW(Dyn) _DYNAMIC[];
extern const char __executable_start[], _etext[];

static const ElfW(Rela) * relocations;
static size_t nrelocations;
static const ElfW(Sym) * symbols;
static const char *strings;
static uintptr_t base, *unbound; /* unbound[i]: as the i-th slot was before the first call */

static int first_is_the_program(struct dl_phdr_info *info, size_t size, void *ctx)
{
	(void)size;
	*(uintptr_t *)ctx = info->dlpi_addr;
	return 1;
}

static uintptr_t *slot(size_t i)
{
	return (uintptr_t *)(base + relocations[i].r_offset);
}

void slots_remember(void)
{
	dl_iterate_phdr(first_is_the_program, &base);
	for (const ElfW(Dyn) *dyn = _DYNAMIC; dyn->d_tag != DT_NULL; dyn++) {
		switch (dyn->d_tag) {
		case DT_JMPREL:
			relocations = (const ElfW(Rela) *)dyn->d_un.d_ptr;
			break;
		case DT_PLTRELSZ:
			nrelocations = dyn->d_un.d_val / sizeof(ElfW(Rela));
			break;
		case DT_SYMTAB:
			symbols = (const ElfW(Sym) *)dyn->d_un.d_ptr;
			break;
		case DT_STRTAB:
			strings = (const char *)dyn->d_un.d_ptr;
			break;
		default:
			break;
		}
	}
	CHECK(relocations != NULL && nrelocations > 0 && symbols != NULL && strings != NULL);
	unbound = calloc(nrelocations, sizeof(*unbound));
	CHECK(unbound != NULL);
	for (size_t i = 0; i < nrelocations; i++) {
		unbound[i] = *slot(i);
	}
}

uintptr_t *slot_of(const char *name)
{
	for (size_t i = 0; i < nrelocations; i++) {
		if (ELF64_R_TYPE(relocations[i].r_info) == R_X86_64_JUMP_SLOT &&
		    strcmp(strings + symbols[ELF64_R_SYM(relocations[i].r_info)].st_name, name) ==
			    0) {
			return slot(i);
		}
	}
	fail("no slot for %s", name);
}

bool slot_unbound(const uintptr_t *at)
{
	return *at >= (uintptr_t)__executable_start && *at < (uintptr_t)_etext;
}

void slot_unbind(uintptr_t *at)
{
	for (size_t i = 0; i < nrelocations; i++) {
		if (slot(i) == at) {
			__atomic_store_n(at, unbound[i], __ATOMIC_RELAXED);
			CHECK(slot_unbound(at));
			return;
		}
	}
	fail("no slot at %p", (void *)at);
}
