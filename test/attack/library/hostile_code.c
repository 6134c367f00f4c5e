/* SPDX-License-Identifier: Apache-2.0 */
/* Code: sequences that write PKRU or the gs base, brought to where they can be run. None of them stands in the text of this library. */
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/uio.h>

#include "inner.h"

#define PAGE 4096L
#define RW (PROT_READ | PROT_WRITE)
#define RX (PROT_READ | PROT_EXEC)
#define PRIVATE (MAP_PRIVATE | MAP_ANONYMOUS)

typedef uint64_t (*code_fn)(void *read, void *area);

/* Of the complement: data, not code. */
#define N(byte) (uint8_t)(0xff ^ (byte))
static const uint8_t not_wrpkru[] = {/* xor %eax,%eax; xor %ecx,%ecx; xor %edx,%edx */ N(0x31), N(0xc0), N(0x31), N(0xc9), N(0x31), N(0xd2),
				     /* wrpkru */ N(0x0f), N(0x01), N(0xef),
				     /* mov (%rdi),%rax; ret */ N(0x48), N(0x8b), N(0x07), N(0xc3)};
#define WRPKRU_AT 6
static const uint8_t not_xrstor[] = {/* mov $0x200,%eax; xor %edx,%edx */ N(0xb8), N(0), N(2), N(0), N(0), N(0x31), N(0xd2),
				     /* xrstor (%rsi) */ N(0x0f), N(0xae), N(0x2e), N(0x48), N(0x8b), N(0x07), N(0xc3)};
static const uint8_t not_wrgsbase[] = {N(0xf3), N(0x48), N(0x0f), N(0xae), N(0xdf), /* wrgsbase %rdi */ N(0x31), N(0xc0), N(0xc3)};
static const uint8_t not_wrfsbase[] = {N(0xf3), N(0x48), N(0x0f), N(0xae), N(0xc0), /* rdfsbase %rax */
				       N(0xf3), N(0x48), N(0x0f), N(0xae), N(0xd7), /* wrfsbase %rdi */
				       N(0xf3), N(0x48), N(0x0f), N(0xae), N(0xd0), /* wrfsbase %rax */ N(0xc3)};
/* mov $42,%eax; ret; and room for what comes later */
static const uint8_t not_clean[] = {N(0xb8), N(42), N(0), N(0), N(0), N(0xc3), N(0x90), N(0x90), N(0x90)};

static void put(void *to, const uint8_t *from, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		((volatile uint8_t *)to)[i] = (uint8_t)~from[i];
	}
}
#define PUT(to, what) put(to, what, sizeof(what))

static int failed(long rc)
{
	return rc < 0 && rc > -PAGE;
}

static char *pages(long n)
{
	return (char *)raw(SYS_mmap, 0, n * PAGE, RW, PRIVATE, -1, 0);
}

/* Runs what should read the secret. */
static long run(struct prey *p, void *code)
{
	memset(p->own, 0, 2 * PAGE);
	p->taken = ((code_fn)code)(p->secret, p->own);
	return p->taken == PREY_SECRET ? ATTACK_DONE : -ENODATA;
}

long attack_wrpkru_in_data(struct prey *p)
{
	char *at = pages(1);

	PUT(at, not_wrpkru);
	long rc = raw(SYS_mprotect, at, PAGE, RX);
	return rc < 0 ? rc : run(p, at);
}

long attack_xrstor_in_data(struct prey *p)
{
	char *at = pages(1);

	PUT(at + 1234, not_xrstor);
	long rc = raw(SYS_mprotect, at, PAGE, RX);
	return rc < 0 ? rc : run(p, at + 1234);
}

long attack_wrgsbase_in_data(struct prey *p)
{
	char *at = pages(1);

	PUT(at, not_wrgsbase);
	long rc = raw(SYS_mprotect, at, PAGE, RX);
	return rc < 0 ? rc : ((code_fn)at)(p->own, NULL) == 0 ? ATTACK_DONE : -ENODATA;
}

long attack_wrfsbase_in_data(struct prey *p)
{
	char *at = pages(1);

	PUT(at, not_wrfsbase);
	long rc = raw(SYS_mprotect, at, PAGE, RX);
	return rc < 0 ? rc : ((code_fn)at)(p->own, NULL) != 0 ? ATTACK_DONE : -ENODATA;
}

long attack_writable_and_executable(struct prey *p)
{
	static const int flags[] = {PRIVATE, PRIVATE | MAP_32BIT, PRIVATE | MAP_GROWSDOWN, MAP_SHARED | MAP_ANONYMOUS,
				    PRIVATE | MAP_STACK, PRIVATE | MAP_HUGETLB};
	char *at = pages(1);
	long rc = -EACCES;

	(void)p;
	for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		for (int prot = PROT_WRITE | PROT_EXEC; prot <= (RW | PROT_EXEC); prot++) {
			rc = raw(SYS_mmap, 0, PAGE, prot, flags[i], -1, 0);
			if (!failed(rc)) {
				return ATTACK_DONE;
			}
		}
	}
	rc = raw(SYS_mprotect, at, PAGE, RW | PROT_EXEC);
	rc = rc < 0 ? raw(SYS_mprotect, at, PAGE, PROT_WRITE | PROT_EXEC) : rc;
	rc = rc < 0 ? raw(SYS_mprotect, at, PAGE, RW | PROT_EXEC | 0x01000000 /* PROT_GROWSDOWN */) : rc;
	rc = rc < 0 ? raw(SYS_pkey_mprotect, at, PAGE, RW | PROT_EXEC, -1) : rc;
	return done_if(rc);
}

static long code_file(struct prey *p, const char *name, const uint8_t *code, size_t bytes)
{
	char path[128], page[64];

	snprintf(path, sizeof(path), "%s/%s", p->work, name);
	long fd = raw(SYS_open, path, O_RDWR | O_CREAT | O_TRUNC, 0700);
	put(page, code, bytes);
	if (fd >= 0) {
		raw(SYS_ftruncate, fd, PAGE);
		raw(SYS_pwrite64, fd, page, bytes, 0);
	}
	return fd;
}

long attack_wrpkru_in_a_file(struct prey *p)
{
	long fd = code_file(p, "clean", not_clean, sizeof(not_clean));
	long at = fd < 0 ? fd : raw(SYS_mmap, 0, PAGE, RX, MAP_PRIVATE, fd, 0);

	if (failed(at) || ((code_fn)at)(NULL, NULL) != 42) {
		return ATTACK_CANNOT;
	}
	fd = code_file(p, "wrpkru", not_wrpkru, sizeof(not_wrpkru));
	at = fd < 0 ? fd : raw(SYS_mmap, 0, PAGE, RX, MAP_PRIVATE, fd, 0);
	if (failed(at)) {
		at = raw(SYS_mmap, 0, PAGE, RX, MAP_SHARED, fd, 0);
	}
	if (failed(at)) {
		/* mapped as data first */
		at = raw(SYS_mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
		long rc = failed(at) ? at : raw(SYS_mprotect, at, PAGE, RX);
		at = rc < 0 ? rc : at;
	}
	return failed(at) ? at : run(p, (void *)at);
}

/* The sequence, but for its last byte, at the end of a page. */
static char *over_a_border(char *at)
{
	char *start = at + PAGE - WRPKRU_AT - 2;

	PUT(start, not_wrpkru);
	return start;
}

long attack_wrpkru_over_a_border(struct prey *p)
{
	char *at = pages(2), *start = over_a_border(at);
	long rc = raw(SYS_mprotect, at, PAGE, RX);

	rc = rc < 0 ? rc : raw(SYS_mprotect, at + PAGE, PAGE, RX);
	return rc < 0 ? rc : run(p, start);
}

long attack_wrpkru_over_a_border_backwards(struct prey *p)
{
	char *at = pages(2), *start = over_a_border(at);
	long rc = raw(SYS_mprotect, at + PAGE, PAGE, RX);

	rc = rc < 0 ? rc : raw(SYS_mprotect, at, PAGE, RX);
	return rc < 0 ? rc : run(p, start);
}

long attack_halves_by_mremap(struct prey *p)
{
	char *at = pages(2), *one = pages(1), *two = pages(1), *start = over_a_border(at);

	memcpy(one, at, PAGE);
	memcpy(two, at + PAGE, PAGE);
	raw(SYS_munmap, at, 2 * PAGE);
	long rc = raw(SYS_mprotect, one, PAGE, RX);
	rc = rc < 0 ? rc : raw(SYS_mprotect, two, PAGE, RX);
	rc = rc < 0 ? rc : raw(SYS_mremap, one, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at);
	rc = failed(rc) ? rc : raw(SYS_mremap, two, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at + PAGE);
	return failed(rc) ? rc : run(p, start);
}

long attack_file_changed_after_the_scan(struct prey *p)
{
	char bytes[sizeof(not_wrpkru)];
	long fd = code_file(p, "later", not_clean, sizeof(not_clean));
	long at = fd < 0 ? fd : raw(SYS_mmap, 0, PAGE, RX, MAP_PRIVATE, fd, 0);

	if (failed(at) || ((code_fn)at)(NULL, NULL) != 42) {
		return failed(at) ? at : -ENOEXEC;
	}
	PUT(bytes, not_wrpkru);
	raw(SYS_pwrite64, fd, bytes, sizeof(bytes), 0);
	raw(SYS_madvise, at, PAGE, MADV_DONTNEED);
	return ((code_fn)at)(p->own, NULL) == 42 ? -ENODATA : run(p, (void *)at);
}

long attack_code_changed_after_the_scan(struct prey *p)
{
	char *at = pages(4), *elsewhere = pages(1);
	long fd = code_file(p, "into", not_wrpkru, sizeof(not_wrpkru));

	PUT(at + PAGE, not_clean);
	long rc = raw(SYS_mprotect, at + PAGE, 2 * PAGE, RX);
	if (rc < 0) {
		return rc;
	}
	rc = raw(SYS_mprotect, at + PAGE, PAGE, RW);
	rc = rc < 0 ? raw(SYS_mprotect, at, 4 * PAGE, RW) : rc;
	rc = rc < 0 ? raw(SYS_mprotect, at + PAGE, PAGE, RW | PROT_EXEC) : rc;
	rc = rc < 0 ? raw(SYS_mremap, elsewhere, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at + PAGE) : rc;
	rc = failed(rc) ? raw(SYS_mremap, at + PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE, 0) : rc;
	rc = failed(rc) ? raw(SYS_pread64, fd, at + PAGE, 13, 0) : rc;
	rc = failed(rc) ? raw(SYS_getrandom, at + PAGE, 3, 0) : rc;
	rc = failed(rc) ? raw(SYS_getcwd, at + PAGE, 3) : rc;
	if (!failed(rc)) {
		return ATTACK_DONE;
	}
	raw(SYS_madvise, at + PAGE, PAGE, MADV_DONTNEED);
	return ((code_fn)(at + PAGE))(NULL, NULL) == 42 ? -EACCES : ATTACK_DONE;
}

/* The writer writes by way of a file, so that it is told where it may not: read(fd, page). */
struct reading {
	char *volatile at;
	long good, bad;
	volatile int stop;
};

static void *reads(void *arg)
{
	struct reading *r = arg;

	while (!r->stop) {
		raw(SYS_pread64, r->bad, r->at, 13, 0);
		raw(SYS_pread64, r->good, r->at, 9, 0);
	}
	return NULL;
}

long attack_written_during_the_scan(struct prey *p)
{
	struct reading r = {pages(1), code_file(p, "good", not_clean, sizeof(not_clean)),
			    code_file(p, "bad", not_wrpkru, sizeof(not_wrpkru)), 0};
	uint8_t sequence[3];
	pthread_t thread;
	long found = -ENODATA;

	put(sequence, not_wrpkru + WRPKRU_AT, 3);
	if (pthread_create(&thread, NULL, reads, &r) != 0) {
		return -EAGAIN;
	}
	for (int i = 0; i < (p->low == p->own ? 60000 : 60) && found != ATTACK_DONE; i++) {
		for (int k = 0; k < 10000 && *(volatile char *)r.at == 0; k++) {
			raw(SYS_sched_yield);
		}
		long rc = raw(SYS_mprotect, r.at, PAGE, RX);
		if (rc == 0 && memcmp(r.at + WRPKRU_AT, sequence, 3) == 0) {
			found = run(p, r.at);
		}
		r.at = pages(1);
	}
	r.stop = 1;
	pthread_join(thread, NULL);
	return found;
}

static int look(struct dl_phdr_info *info, size_t bytes, void *arg)
{
	struct prey *p = arg;

	(void)bytes;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *h = &info->dlpi_phdr[i];
		const uint8_t *at = (const uint8_t *)info->dlpi_addr + h->p_vaddr, *end = at + h->p_memsz - 3;

		if (h->p_type != PT_LOAD || !(h->p_flags & PF_X) || strstr(info->dlpi_name, "vdso") != NULL) {
			continue;
		}
		p->more[1] += h->p_memsz;
		for (; at < end; at++) {
			if (at[0] == 0x0f && ((at[1] == 0x01 && at[2] == 0xef) ||
					      (at[1] == 0xae && at[2] < 0xc0 && (at[2] & 0x38) == 0x28))) {
				p->more[0]++;
				p->more[2] = (uint64_t)(uintptr_t)at;
			}
		}
	}
	return 0;
}

long attack_sequences_in_its_own_libraries(struct prey *p)
{
	dl_iterate_phdr(look, p);
	return p->more[1] < 100000 ? -ENOENT : p->more[0] != 0 ? ATTACK_DONE : -ENODATA;
}

extern int pkey_set(int key, unsigned int rights);

long attack_pkey_set_of_its_libc(struct prey *p)
{
	for (int key = 0; key < 16; key++) {
		pkey_set(key, 0);
	}
	return took(p);
}

long attack_pkey_set_of_the_hosts_libc(struct prey *p)
{
	if (p->key == 0) {
		for (int key = 0; key < 16; key++) {
			((int (*)(int, unsigned int))p->host_pkey_set)(key, 0);
		}
	}
	((int (*)(int, unsigned int))p->host_pkey_set)(p->key, 0);
	return took(p);
}

/* hostile.S: to 32-bit code at code, which comes back by way of back32; 0 if that has not happened */
long hostile_far(uint32_t code);

static const uint8_t not_compat[] = {/* mov $20,%eax; int $0x80 */ N(0xb8), N(20), N(0), N(0), N(0), N(0xcd), N(0x80),
				     /* ljmp $0x33,$... */ N(0xea), N(0), N(0), N(0), N(0), N(0x33), N(0)};
static const uint8_t not_back[] = {/* mov %r14,%rsp; jmp *%r15 */ N(0x4c), N(0x89), N(0xf4), N(0x41), N(0xff), N(0xe7)};

long attack_compatibility_mode(struct prey *p)
{
	long at = raw(SYS_mmap, 0, PAGE, RW, PRIVATE | MAP_32BIT, -1, 0);

	for (long low = 0x10000; failed(at) && low < 0x80000000L; low += 0x1000000) {
		at = raw(SYS_mmap, low, PAGE, RW, PRIVATE | MAP_FIXED, -1, 0);
	}
	if (failed(at) || at >= 1L << 32) {
		return failed(at) ? at : -ENOMEM;
	}
	PUT((char *)at, not_compat);
	PUT((char *)at + 64, not_back);
	*(uint32_t *)(at + 8) = (uint32_t)at + 64;
	long rc = raw(SYS_mprotect, at, PAGE, RX);
	rc = rc < 0 ? rc : (int)hostile_far((uint32_t)at);
	return rc == p->pid ? ATTACK_DONE : rc;
}

long attack_compatibility_mode_nowhere(struct prey *p)
{
	return hostile_far((uint32_t)L(p->own));
}

/* The least that is a library: two pages of text, where the code is as if it had been linked there, and a table of nothing. */
static struct link_map *linked(struct prey *p, const char *name, const uint8_t *code, size_t bytes, size_t at)
{
	static char text[2 * PAGE];
	char path[128];
	ElfW(Ehdr) *eh = (void *)p->own;
	ElfW(Phdr) *ph = (void *)(p->own + sizeof(*eh));
	ElfW(Dyn) *dyn = (void *)(p->own + 2048);

	memset(p->own, 0, PREY_OWN);
	memcpy(eh->e_ident, ELFMAG "\2\1\1", 7);
	eh->e_type = ET_DYN;
	eh->e_machine = EM_X86_64;
	eh->e_version = 1;
	eh->e_phoff = sizeof(*eh);
	eh->e_ehsize = sizeof(*eh);
	eh->e_phentsize = sizeof(*ph);
	eh->e_phnum = 4;
	ph[0] = (ElfW(Phdr)){PT_LOAD, PF_R | PF_W, 0, 0, 0, PAGE, PAGE, PAGE};
	ph[1] = (ElfW(Phdr)){PT_LOAD, PF_R | PF_X, PAGE, PAGE, PAGE, 2 * PAGE, 2 * PAGE, PAGE};
	ph[2] = (ElfW(Phdr)){PT_DYNAMIC, PF_R | PF_W, 2048, 2048, 2048, 6 * sizeof(*dyn), 6 * sizeof(*dyn), 8};
	ph[3] = (ElfW(Phdr)){.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W}; /* else the loader asks for a stack that can be run */
	dyn[0] = (ElfW(Dyn)){DT_STRTAB, {1024}};
	dyn[1] = (ElfW(Dyn)){DT_SYMTAB, {1040}};
	dyn[2] = (ElfW(Dyn)){DT_STRSZ, {1}};
	dyn[3] = (ElfW(Dyn)){DT_SYMENT, {24}};
	dyn[4] = (ElfW(Dyn)){DT_INIT, {PAGE + 512}};
	memset(text, 0xcc, sizeof(text));
	put(text + at, code, bytes);
	text[512] = (char)0xc3;
	snprintf(path, sizeof(path), "%s/%s.so", p->work, name);
	long fd = raw(SYS_open, path, O_RDWR | O_CREAT | O_TRUNC, 0700);
	raw(SYS_pwrite64, fd, p->own, PAGE, 0);
	raw(SYS_pwrite64, fd, text, sizeof(text), PAGE);
	raw(SYS_close, fd);
	return dlopen(path, RTLD_NOW);
}

/*
 * Where the code is then; NULL: it was refused. 0 in *cannot, or ATTACK_CANNOT where one with code that does nothing forbidden is
 * refused, too: what stops the attack must be what is in it.
 */
static char *made(struct prey *p, const uint8_t *code, size_t bytes, size_t at, long *cannot)
{
	struct link_map *library = linked(p, "clean", not_clean, sizeof(not_clean), at);

	*cannot = ATTACK_CANNOT;
	if (library == NULL || ((code_fn)((char *)library->l_addr + PAGE + at))(NULL, NULL) != 42) {
		return NULL;
	}
	*cannot = 0;
	library = linked(p, "made", code, bytes, at);
	return library == NULL ? NULL : (char *)library->l_addr + PAGE + at;
}

long attack_wrpkru_in_a_library(struct prey *p)
{
	long cannot;
	char *at = made(p, not_wrpkru, sizeof(not_wrpkru), 0, &cannot);

	return cannot != 0 ? cannot : at == NULL ? -EACCES : run(p, at);
}

long attack_wrpkru_over_a_border_of_a_library(struct prey *p)
{
	long cannot;
	char *at = made(p, not_wrpkru, sizeof(not_wrpkru), PAGE - WRPKRU_AT - 1, &cannot);

	return cannot != 0 ? cannot : at == NULL ? -EACCES : run(p, at);
}

long attack_xrstor_in_a_library(struct prey *p)
{
	long cannot;
	char *at = made(p, not_xrstor, sizeof(not_xrstor), 1024, &cannot);

	return cannot != 0 ? cannot : at == NULL ? -EACCES : run(p, at);
}

long attack_wrgsbase_in_a_library(struct prey *p)
{
	long cannot;
	char *at = made(p, not_wrgsbase, sizeof(not_wrgsbase), 1024, &cannot);

	return cannot != 0 ? cannot : at == NULL ? -EACCES : ((code_fn)at)(p->own, NULL) == 0 ? ATTACK_DONE : -ENODATA;
}

/* ---- before anybody has called ----------------------------------------------------------------------------------------------- */

static long constructed = -ENOSYS;

static __attribute__((constructor)) void constructs(void)
{
	long word = 7, copy = 0;
	struct iovec local = {&copy, 8}, remote = {&word, 8};
	long rc = raw(SYS_process_vm_readv, raw(SYS_getpid), &local, 1, &remote, 1, 0);

	constructed = rc == 8 && copy == 7 ? ATTACK_DONE : rc;
}

long attack_constructor(struct prey *p)
{
	(void)p;
	return constructed;
}

extern char **environ;

long attack_environment(struct prey *p)
{
	(void)p;
	for (char **e = environ; *e != NULL; e++) {
		if (strncmp(*e, "LD_PRELOAD", 10) == 0 || strncmp(*e, "LD_AUDIT", 8) == 0 || strstr(*e, "PASSWORD") != NULL) {
			return ATTACK_DONE;
		}
	}
	return -ENOENT;
}
