/* SPDX-License-Identifier: Apache-2.0 */
/* One call, single-stepped: instructions and WRPKRU seen one by one, and in which function they were. */
#ifndef LYCH_BENCH_STEPS_H
#define LYCH_BENCH_STEPS_H

#include <link.h>

#include "bench_common.h"
#include "single_step.h"

#define STEP_PARTS 16

struct step_part {
	const char *name;
	unsigned int count;
};

struct step_count {
	unsigned int instructions, wrpkru;
	struct step_part parts[STEP_PARTS]; /* in the order in which they were met first */
	unsigned int nparts;
};

/* The symbol of this program's own table at or below address, or "(elsewhere)". */
static inline const char *step_symbol(uint64_t address)
{
	static uint8_t *file;
	static size_t size;
	static uint64_t base;
	const Elf64_Ehdr *ehdr;
	const Elf64_Shdr *shdr;
	const char *best = "(elsewhere)";
	uint64_t best_at = 0;

	if (file == NULL) {
		int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
		struct stat st;

		if (fd < 0 || fstat(fd, &st) != 0) {
			return best;
		}
		size = (size_t)st.st_size;
		file = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
		(void)close(fd);
		if (file == MAP_FAILED) {
			file = NULL;
			return best;
		}
		base = _r_debug.r_map->l_addr;
	}
	ehdr = (const Elf64_Ehdr *)file;
	shdr = (const Elf64_Shdr *)(file + ehdr->e_shoff);
	for (unsigned int i = 0; i < ehdr->e_shnum; i++) {
		const Elf64_Sym *sym = (const Elf64_Sym *)(file + shdr[i].sh_offset);

		for (size_t n = 0; shdr[i].sh_type == SHT_SYMTAB && n < shdr[i].sh_size / sizeof(*sym); n++) {
			uint64_t at = sym[n].st_value + base;
			bool code = sym[n].st_shndx != SHN_UNDEF && sym[n].st_shndx < ehdr->e_shnum &&
				    (shdr[sym[n].st_shndx].sh_flags & SHF_EXECINSTR) != 0 &&
				    ELF64_ST_TYPE(sym[n].st_info) <= STT_FUNC;
			const Elf64_Shdr *in = code ? &shdr[sym[n].st_shndx] : NULL;

			if (code && at <= address && at > best_at && address < base + in->sh_addr + in->sh_size) {
				best_at = at;
				best = (const char *)file + shdr[shdr[i].sh_link].sh_offset + sym[n].st_name;
			}
		}
	}
	return best;
}

static inline int step_note(const struct step *step, void *ctx)
{
	struct step_count *count = ctx;
	const char *name = step_symbol(step->regs.rip);
	unsigned int i = 0;

	count->instructions++;
	count->wrpkru += memcmp(step->bytes, "\x0f\x01\xef", 3) == 0;
	while (i < count->nparts && strcmp(count->parts[i].name, name) != 0) {
		i++;
	}
	if (i < STEP_PARTS) {
		count->parts[i].name = name;
		count->parts[i].count++;
		count->nparts = i < count->nparts ? count->nparts : i + 1;
	}
	return 0;
}

/* Lets a child do body, whose STEP_BEGIN and STEP_END say what counts. false: said on stderr. */
static inline bool step_counts(struct step_count *out, void (*body)(void *))
{
	long rc;

	memset(out, 0, sizeof(*out));
	rc = step_child(body, NULL, step_note, out);
	if (rc < 0) {
		(void)fprintf(stderr, "single-stepping: %s\n", strerror((int)-rc));
	}
	return rc >= 0;
}

static inline void step_print_parts(const struct step_count *count, const char *caller)
{
	for (unsigned int i = 0; i < count->nparts; i++) {
		bool is_caller = strcmp(count->parts[i].name, caller) == 0;

		printf("%s%s %u", i == 0 ? "" : ", ", is_caller ? "the caller" : count->parts[i].name, count->parts[i].count);
	}
}

#endif /* LYCH_BENCH_STEPS_H */
