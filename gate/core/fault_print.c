/* SPDX-License-Identifier: Apache-2.0 */
/* Faults as text for people. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

#include <lychgate/fault.h>
#include <lychgate/policy.h>

#include "../code/code.h"
#include "../library/library.h"
#include "code_place.h"

#define WHERE_BYTES 512

static const char *const kind_names[] = {
	[LYCH_FAULT_NONE] = "no fault",
	[LYCH_FAULT_KEY] = "protection key",
	[LYCH_FAULT_SEGV] = "segmentation fault",
	[LYCH_FAULT_BUS] = "bus error",
	[LYCH_FAULT_ILL] = "illegal instruction",
	[LYCH_FAULT_FPE] = "arithmetic exception",
	[LYCH_FAULT_TRAP] = "trap",
	[LYCH_FAULT_STACK] = "stack overflow",
	[LYCH_FAULT_ABORT] = "abort",
	[LYCH_FAULT_EXIT] = "exit",
	[LYCH_FAULT_GATE] = "forged gate",
	[LYCH_FAULT_DEADLINE] = "deadline missed",
	[LYCH_FAULT_CANCELED] = "canceled",
};
#define KINDS (sizeof(kind_names) / sizeof(kind_names[0]))

const char *lych_fault_kind_name(enum lych_fault_kind kind)
{
	return (unsigned int)kind < KINDS ? kind_names[kind] : "unknown fault";
}

static const char *access_name(enum lych_access access)
{
	switch (access) {
	case LYCH_ACCESS_READ:
		return "read of";
	case LYCH_ACCESS_WRITE:
		return "write to";
	case LYCH_ACCESS_EXEC:
		return "jump to";
	case LYCH_ACCESS_UNKNOWN:
		break;
	}
	return "at";
}

LYCH_PRINTF(3, 4) static void line(int fd, int *rc, const char *format, ...)
{
	va_list args;

	if (*rc != 0) {
		return;
	}
	va_start(args, format);
	if (vdprintf(fd, format, args) < 0) {
		*rc = -EIO;
	}
	va_end(args);
}

/* NULL is one, too; 0 of what the processor refuses without one (code SI_KERNEL) is not. */
static bool has_address(const struct lych_fault *f)
{
	return f->address != 0 || f->key >= 0 ||
	       (f->signal == SIGSEGV && (f->code == SEGV_MAPERR || f->code == SEGV_ACCERR));
}

static void print_address(const struct lych_fault *f, int fd, int *rc)
{
	line(fd, rc, "  %s 0x%" PRIx64, access_name(f->access), f->address);
	if (f->key >= 0) {
		line(fd, rc, ", key %d", f->key);
	}
	if (f->owner[0] != '\0') {
		line(fd, rc, " (%.31s)", f->owner);
	}
	line(fd, rc, "\n");
	if (f->mapping[0] != '\0') {
		line(fd, rc, "  in %.127s\n", f->mapping);
	}
}

/* What follows a call may be another function's first instruction: it is looked for one byte before. */
static int where(const struct lych_fault *f, uint64_t address, bool exact, char *out, size_t bytes)
{
	struct code_place place;

	if (library_where(f->domain, address, exact, out, bytes) == 0) {
		return 0;
	}
	if (!code_place_of(&place, address - (exact ? 0 : 1))) {
		return -ENOENT;
	}
	place.offset += exact ? 0 : 1;
	place.into += exact ? 0 : 1;
	if (place.symbol != NULL) {
		snprintf(out, bytes, "%s+0x%" PRIx64 " in %s (0x%" PRIx64 ")", place.symbol, place.into, place.file, place.offset);
	} else {
		snprintf(out, bytes, "%s+0x%" PRIx64, place.file, place.offset);
	}
	return 0;
}

int lych_fault_where(const struct lych_fault *fault, int frame, char *out, size_t bytes)
{
	int saved = errno, rc = -ENOENT;

	if (bytes > 0) {
		out[0] = '\0';
	}
	if (frame >= 0 && frame < fault->nframes && frame < LYCH_FAULT_FRAMES && bytes > 0) {
		rc = where(fault, fault->frames[frame], frame == 0, out, bytes);
	}
	errno = saved;
	return rc;
}

/* At the end of a line. */
static void print_place(const struct lych_fault *f, uint64_t address, bool exact, int fd, int *rc)
{
	char text[WHERE_BYTES];
	uint64_t site;

	if (lych_code_site_of(address, &site)) {
		line(fd, rc, "  for 0x%" PRIx64, site);
		address = site;
	}
	if (where(f, address, exact, text, sizeof(text)) == 0) {
		line(fd, rc, "  %s", text);
	}
	line(fd, rc, "\n");
}

/* The mistake that everybody makes once. */
static void print_advice(const struct lych_fault *f, int fd, int *rc)
{
	struct code_place place;

	if (f->kind == LYCH_FAULT_KEY && f->key == 0 && code_place_of(&place, f->rip) && place.loader) {
		line(fd, rc,
		     "  this is the loader, which binds a function that is called for the first time: link with -z "
		     "now\n");
	}
}

static void print_registers(const struct lych_fault *f, int fd, int *rc)
{
	static const char *const names[16] = {"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp",
					      "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

	line(fd, rc, "  rip %016" PRIx64 "  flags %" PRIx64, f->rip, f->rflags);
	print_place(f, f->rip, true, fd, rc);
	for (int i = 0; i < 16; i++) {
		line(fd, rc, "  %-3s %016" PRIx64 "%s", names[i], f->gpr[i],
		     i % 4 == 3 ? "\n" : "");
	}
}

int lych_fault_print(const struct lych_fault *fault, int fd)
{
	int rc = 0;
	int saved = errno;

	line(fd, &rc, "lychgate: %s in domain \"%.31s\"", lych_fault_kind_name(fault->kind), fault->domain);
	if (fault->function[0] != '\0') {
		line(fd, &rc, ", called as %.63s", fault->function);
	}
	if (fault->signal != 0) {
		line(fd, &rc, " (signal %d, code %d)", fault->signal, fault->code);
	}
	line(fd, &rc, ", thread %d, fault %" PRIu64 " of this domain\n", fault->tid, fault->count);
	if (has_address(fault)) {
		print_address(fault, fd, &rc);
	}
	if (fault->refused != 0) {
		const char *name = fault->last_foreign ? NULL : lych_call_name(fault->last_refused);

		line(fd, &rc, "  system calls refused to it: %" PRIu64 ", the last one ", fault->refused);
		if (name != NULL) {
			line(fd, &rc, "%s (%ld)\n", name, fault->last_refused);
		} else {
			line(fd, &rc, "number %ld%s\n", fault->last_refused,
			     fault->last_foreign ? " of another architecture" : "");
		}
	}
	if (fault->no_memory != 0) {
		line(fd, &rc, "  memory refused to it (heap_bytes): %" PRIu64 " times, the last time %" PRIu64 " bytes\n",
		     fault->no_memory, fault->no_memory_bytes);
	}
	/* A signal says where, be that 0: what was jumped to. Where there was none they may be unknown. */
	if (fault->rip != 0 || fault->signal != 0) {
		print_advice(fault, fd, &rc);
		print_registers(fault, fd, &rc);
	}
	for (int i = 0; i < fault->nframes && i < LYCH_FAULT_FRAMES; i++) {
		line(fd, &rc, "  #%-2d 0x%" PRIx64, i, fault->frames[i]);
		print_place(fault, fault->frames[i], i == 0, fd, &rc);
	}
	errno = saved;
	return rc;
}
