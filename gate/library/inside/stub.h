/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the runtime and the stub agree on. The stub (stub.c, stub_x86_64.S) is the program that the dynamic loader
 * of a library domain starts, inside the domain. It is built apart from everything else, embedded as bytes
 * (image.S), and not trusted: after the first library has run in the domain, it is what that library made of it.
 * Usable from assembly.
 */
#ifndef LYCH_STUB_H
#define LYCH_STUB_H

/* A number that no system call has (policy.h). */
#define LYCH_SYS_INSIDE 0x0c796368
/* Numbers of the private calls of the stub, in arg[0] of LYCH_SYS_INSIDE. 0 and 1 are in policy.h. */
#define INSIDE_READY 2 /* arg[1] = struct stub_table *: the loader is done; the call that started it returns */
#define INSIDE_PARK 3  /* a thread made for a thread of the host is ready; the call that started it returns */
#define INSIDE_BEGIN 4 /* of stub_enter, arg[1] its argument: the registers become those of the thread that is begun */

/* Where stub_enter is, from the ELF file's entry point. It needs no relocation, no stack and no thread-local
 * storage, so it can be used as soon as the stub's text is mapped. */
#define STUB_ENTER 64

#ifndef __ASSEMBLER__
#include <stdint.h>

/*
 * Registers with which a thread of the domain begins. stub_enter asks the runtime for them, which knows whose they
 * are: where this lies is for tests. It does not return; the call that it was is ended by a private call of whoever
 * it started.
 *
 *	void stub_enter(const struct inside_start *start);
 */
struct inside_start {
	uint64_t rip, rsp;
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15;
};

/*
 * What the stub offers, as it lies in its memory: hostile. All are called through the gate, on a stack of the
 * domain, with the fs base of a thread of the domain: main's, or one that has parked.
 */
struct stub_table {
	uint64_t bytes; /* of the table */
	/*
	 * int (const char *path, char *why, uint64_t why_bytes): 0 or an errno: ENOENT (the library, one it needs,
	 * or a symbol that one needs), ENOEXEC (none that the loader accepts), ENOMEM; with what dlerror says in
	 * why, cut, terminated when why_bytes is not 0.
	 */
	uint64_t load;
	/*
	 * void *(const char *name, const char *version or NULL): NULL when there is none. The first of the libraries that were
	 * loaded, in the order of loading, that has it itself; else the first that needs one that has it; else any.
	 */
	uint64_t symbol;
	uint64_t spawn;  /* int (void): pthread_create of a detached thread that parks; its errno */
	/* void (void): the calling thread, a parked one, ends: destructors of its thread-local data run, on its own
	 * stack, and it makes the system call exit. Returns when the fs base is not that of a parked thread. */
	uint64_t finish;
	uint64_t leave;  /* void (void): exit(0) */
};
#endif /* __ASSEMBLER__ */

#endif /* LYCH_STUB_H */
