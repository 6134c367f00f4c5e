/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the machine can do, found out by trying it and never by a kernel's version.
 *
 *	detect_verdict.c  pure: registers and outcomes in, an answer out
 *	detect.c          asks the CPU and the kernel; experiments run in children of their own
 *
 * Nothing here executes WRPKRU: pkey_alloc sets the rights of the key it gives, and that is enough.
 */
#ifndef LYCH_DETECT_H
#define LYCH_DETECT_H

#include <signal.h>

#include <lychgate/domain.h>

#include "gate_asm.h"

/* As CPUID and XGETBV gave them; zero beyond max_leaf. */
struct cpuid_words {
	uint32_t max_leaf;
	uint32_t leaf1_ecx;
	uint32_t leaf7_ebx, leaf7_ecx, leaf7_edx;
	uint32_t xstate0_ebx;              /* leaf 0xd, subleaf 0: bytes of all that XCR0 enables */
	uint32_t xstate9_eax, xstate9_ebx; /* leaf 0xd, subleaf 9: bytes and offset of PKRU */
	uint64_t xcr0;                     /* 0 when OSXSAVE is off */
};

struct cpu_traits {
	bool hypervisor;
	bool pku;        /* the CPU has protection keys */
	bool ospke;      /* the kernel has switched them on: this decides */
	bool xsave_pkru; /* signal frames hold PKRU */
	uint32_t xsave_pkru_at; /* offset in the XSAVE image (not compacted, as in frames) */
	uint32_t xsave_bytes;
	uint32_t scrub;  /* SCRUB_*: the widest registers the kernel has enabled */
};

void detect_decode(struct cpu_traits *out, const struct cpuid_words *raw);

/* How an experiment ended. */
enum trial_end {
	TRIAL_NOT_RUN = 0, /* no child could be had, or it was not asked for */
	TRIAL_OK,
	TRIAL_ERRNO,       /* a step was refused: err */
	TRIAL_WRONG,       /* every step was accepted, and the effect was not there */
	TRIAL_KILLED,      /* by signal err */
};
struct trial {
	enum trial_end end;
	int err;
	int step; /* the last one begun */
};

/* Steps of the experiment with keys. */
enum { KEYS_SETUP = 1, KEYS_ALLOC, KEYS_TAG, KEYS_DENIED, KEYS_ALLOWED };

struct machine {
	struct cpu_traits cpu;
	bool fsgsbase;         /* the kernel lets programs use RDFSBASE and the like */
	bool shadow_stack;     /* this process runs with one */
	uint64_t gs;           /* the calling thread's gs base */
	uint64_t gates;        /* where our gates lie; detect_machine leaves it to its caller */
	uint32_t frame_bytes;  /* most a signal frame takes */
	struct trial dispatch; /* Syscall User Dispatch */
	struct trial filter;   /* seccomp filters */
	struct trial keys;     /* a denied page is denied, an allowed one allowed */
	struct trial frames;   /* a frame is written where the interrupted code may not write */
};

/* Fills out. Experiments with keys only where OSPKE is on. Forks; not async-signal-safe. */
void detect_machine(struct machine *out);

/*
 * Can backend (LYCH_PKU or LYCH_MPROTECT) run on this machine? 0; or -EOPNOTSUPP, -ENOSPC (no key is free), and then
 * one sentence in why that names the layer and the way out.
 */
int detect_refusal(const struct machine *m, enum lych_backend backend, char *why, size_t size);

/* detect_x86_64.S: a signal handler that ends the process with DETECT_EXIT and touches no memory. */
#define DETECT_EXIT 42
void lych_detect_exit(int sig, siginfo_t *info, void *context);

#endif /* LYCH_DETECT_H */
