/* SPDX-License-Identifier: Apache-2.0 */
/* What the benchmarks share: time, the median, the machine's name, executable ranges of a file. */
#ifndef LYCH_BENCH_COMMON_H
#define LYCH_BENCH_COMMON_H

#include <elf.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static inline double seconds_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static inline int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts values. */
static inline double median_of(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), compare_doubles);
	return count % 2 != 0 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static inline void print_machine(FILE *out)
{
	char line[256];
	FILE *info = fopen("/proc/cpuinfo", "r");
	unsigned family = 0, model = 0;
	char name[128] = "unknown CPU";

	while (info != NULL && fgets(line, sizeof(line), info) != NULL && line[0] != '\n') {
		(void)sscanf(line, "model name : %127[^\n]", name);
		(void)sscanf(line, "cpu family : %u", &family);
		(void)sscanf(line, "model : %u", &model);
	}
	if (info != NULL) {
		(void)fclose(info);
	}
	(void)fprintf(out, "machine: %s (family %u, model %u), %ld CPUs\n", name, family, model,
		      sysconf(_SC_NPROCESSORS_ONLN));
}

/* A file's executable bytes, mapped: whole pages as its program headers say, clipped to the file.
 */
struct exec_file {
	const uint8_t *map;
	size_t size;
};

/*
 * Maps the file open at fd when it is an ELF64 file for x86-64 with program headers. Returns false
 * for everything else. Undo with exec_file_unmap.
 */
static inline bool exec_file_map(struct exec_file *out, int fd)
{
	struct stat st;
	Elf64_Ehdr ehdr;
	void *map;

	if (pread(fd, &ehdr, sizeof(ehdr), 0) != (ssize_t)sizeof(ehdr) ||
	    memcmp(ehdr.e_ident, ELFMAG, SELFMAG) != 0 || ehdr.e_ident[EI_CLASS] != ELFCLASS64 ||
	    ehdr.e_machine != EM_X86_64 || ehdr.e_phentsize != sizeof(Elf64_Phdr) ||
	    fstat(fd, &st) != 0 || ehdr.e_phoff > (uint64_t)st.st_size ||
	    (uint64_t)ehdr.e_phnum * sizeof(Elf64_Phdr) > (uint64_t)st.st_size - ehdr.e_phoff) {
		return false;
	}
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED) {
		return false;
	}
	out->map = map;
	out->size = (size_t)st.st_size;
	return true;
}

static inline void exec_file_unmap(struct exec_file *file)
{
	(void)munmap((void *)(uintptr_t)file->map, file->size);
}

/* The next executable range: *index starts at 0. Returns false after the last one. */
static inline bool exec_file_next(const struct exec_file *file, unsigned *index, const uint8_t **at,
				  size_t *len)
{
	Elf64_Ehdr ehdr;

	memcpy(&ehdr, file->map, sizeof(ehdr));
	while (*index < ehdr.e_phnum) {
		Elf64_Phdr phdr;
		uint64_t start, end;

		memcpy(&phdr, file->map + ehdr.e_phoff + *index * sizeof(phdr), sizeof(phdr));
		(*index)++;
		if (phdr.p_type != PT_LOAD || (phdr.p_flags & PF_X) == 0 ||
		    phdr.p_offset > file->size || phdr.p_filesz > file->size - phdr.p_offset) {
			continue;
		}
		start = phdr.p_offset & ~UINT64_C(4095);
		end = (phdr.p_offset + phdr.p_filesz + 4095) & ~UINT64_C(4095);
		if (end > file->size) {
			end = file->size;
		}
		*at = file->map + start;
		*len = end - start;
		return true;
	}
	return false;
}

#endif /* LYCH_BENCH_COMMON_H */
