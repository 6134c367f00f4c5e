/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libtorch1.13, C++: the REX2-shaped one, across `mov %rdx,%rbp` and the call of __cxa_end_catch, where an exception is
 * handled. All that the library needs is 220 MB, so it is not loaded but mapped: those two instructions are executed
 * alone, with __cxa_end_catch a function of this program.
 */
#include "program.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

/* Executes from site on until __cxa_end_catch is called: what is then in rbp and rbx, with these in rdx and rax. */
void execute(const void *site, uint64_t rdx, uint64_t rax, uint64_t out[2]);
void end_catch(void);

__asm__(".local torch_rsp, torch_out\n"
	".comm torch_rsp, 8, 8\n"
	".comm torch_out, 8, 8\n"
	".text\n"
	".globl execute, end_catch\n"
	".type execute, @function\n"
	".type end_catch, @function\n"
	"execute:\n"
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"	mov %rsp, torch_rsp(%rip)\n"
	"	mov %rcx, torch_out(%rip)\n"
	"	mov %rdx, %rax\n"
	"	mov %rsi, %rdx\n"
	"	jmp *%rdi\n"
	"end_catch:\n"
	"	mov torch_out(%rip), %rcx\n"
	"	mov %rbp, 0(%rcx)\n"
	"	mov %rbx, 8(%rcx)\n"
	"	mov torch_rsp(%rip), %rsp\n"
	"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	ret\n"
	".size execute, end_catch - execute\n"
	".size end_catch, . - end_catch\n");

static uint8_t *code; /* of the library */
static size_t code_len;
static uint8_t *site;

/* mov %rdx,%rbp; call: what it calls becomes end_catch. */
static void prepare(void)
{
	static const uint8_t bytes[] = {0x48, 0x89, 0xd5, 0xe8, 0x01, 0xef};
	uint8_t *entry;
	void (*function)(void) = end_catch;
	int32_t rel;

	site = memmem(code, code_len, bytes, sizeof(bytes));
	if (site == NULL) {
		unexpected("the instructions are not there");
	}
	memcpy(&rel, site + 4, sizeof(rel));
	entry = site + 8 + rel;
	if (entry[0] != 0xff || entry[1] != 0x25) {
		unexpected("the call does not lead to the table");
	}
	memcpy(&rel, entry + 2, sizeof(rel));
	memcpy(entry + 6 + rel, &function, sizeof(function));
}

static void *map(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	Elf64_Ehdr header;
	Elf64_Phdr segment;
	uint8_t *start;
	off_t end = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);

	if (end < 0 || pread(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header)) {
		unexpected("the library cannot be read");
	}
	/* room for all of it, and somewhat more for what is not in the file */
	start = mmap(NULL, (size_t)end + (64u << 20), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < header.e_phnum; i++) {
		uint64_t from, to;
		int rights;

		if (pread(fd, &segment, sizeof(segment), (off_t)(header.e_phoff + (size_t)i * sizeof(segment))) !=
		    (ssize_t)sizeof(segment)) {
			unexpected("the program headers cannot be read");
		}
		if (segment.p_type != PT_LOAD) {
			continue;
		}
		from = segment.p_vaddr & ~UINT64_C(4095);
		to = (segment.p_vaddr + segment.p_filesz + 4095) & ~UINT64_C(4095);
		rights = ((segment.p_flags & PF_R) != 0 ? PROT_READ : 0) | ((segment.p_flags & PF_W) != 0 ? PROT_WRITE : 0) |
			 ((segment.p_flags & PF_X) != 0 ? PROT_EXEC : 0);
		if (mmap(start + from, to - from, rights, MAP_PRIVATE | MAP_FIXED, fd,
			 (off_t)(segment.p_offset & ~UINT64_C(4095))) == MAP_FAILED) {
			unexpected("a segment cannot be mapped");
		}
		if ((segment.p_flags & PF_X) != 0) {
			code = start + segment.p_vaddr;
			code_len = segment.p_filesz;
		}
	}
	close(fd);
	prepare();
	return start;
}

static void calls(void *library)
{
	(void)library;
	for (int i = 0; i < 300; i++) {
		uint64_t rdx = random_number(), out[2] = {0, 0};

		execute(site, rdx, random_number(), out);
		known_number("what was moved", out[0], rdx);
	}
}

const struct program program = {.calls = calls, .open = map};
