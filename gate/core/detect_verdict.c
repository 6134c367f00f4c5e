/* SPDX-License-Identifier: Apache-2.0 */
/* Pure: what registers and outcomes mean. */
#include <errno.h>
#include <stdio.h>

#include "detect.h"

#define BIT(word, n) (((word) >> (n)) & 1)
#define XCR0_AVX 0x6ULL
#define XCR0_AVX512 0xe6ULL
#define XCR0_AMX 0x60000ULL

void detect_decode(struct cpu_traits *out, const struct cpuid_words *raw)
{
	bool osxsave = BIT(raw->leaf1_ecx, 27);
	uint64_t xcr0 = osxsave ? raw->xcr0 : 0;

	*out = (struct cpu_traits){
		.hypervisor = BIT(raw->leaf1_ecx, 31),
		.pku = BIT(raw->leaf7_ecx, 3),
		.ospke = BIT(raw->leaf7_ecx, 4),
		.xsave_bytes = osxsave ? raw->xstate0_ebx : 0,
		.scrub = SCRUB_SSE,
	};
	if (BIT(xcr0, 9) && raw->xstate9_eax >= 4) {
		out->xsave_pkru = true;
		out->xsave_pkru_at = raw->xstate9_ebx;
	}
	if (BIT(raw->leaf1_ecx, 28) && (xcr0 & XCR0_AVX) == XCR0_AVX) {
		out->scrub = SCRUB_AVX;
		if (BIT(raw->leaf7_ebx, 16) && (xcr0 & XCR0_AVX512) == XCR0_AVX512) {
			out->scrub = SCRUB_AVX512;
			if (BIT(raw->leaf7_edx, 24) && (xcr0 & XCR0_AMX) == XCR0_AMX) {
				out->scrub = SCRUB_AMX;
			}
		}
	}
}

static int refuse(char *why, size_t size, const char *sentence)
{
	snprintf(why, size, "%s", sentence);
	return -EOPNOTSUPP;
}

static int keys_refusal(const struct machine *m, char *why, size_t size)
{
	const struct trial *t = &m->keys;

	if (!m->cpu.ospke) {
		if (m->cpu.pku) {
			return refuse(
				why, size,
				"kernel: the CPU has protection keys, but the kernel has not switched them on: boot "
				"without nopku, with a kernel built with "
				"CONFIG_X86_INTEL_MEMORY_PROTECTION_KEYS");
		}
		if (m->cpu.hypervisor) {
			return refuse(
				why, size,
				"CPU: the hypervisor shows no protection keys to this machine: choose a CPU model "
				"with pku, or ask for LYCH_MPROTECT");
		}
		return refuse(why, size,
			      "CPU: it has no protection keys (Intel Xeon since Skylake, AMD since Zen 3): ask for "
			      "LYCH_MPROTECT, or use another machine");
	}
	if (!m->cpu.xsave_pkru) {
		return refuse(why, size,
			      "kernel: signal frames do not hold PKRU (XCR0 bit 9 is off): use another kernel or "
			      "hypervisor");
	}
	switch (t->end) {
	case TRIAL_OK:
		break;
	case TRIAL_ERRNO:
		if (t->step == KEYS_ALLOC && t->err == ENOSPC) {
			refuse(why, size,
			       "process: no protection key is free, all are held by other libraries: let them "
			       "take fewer");
			return -ENOSPC;
		}
		snprintf(why, size,
			 "sandbox: the kernel has protection keys, but %s is refused (errno %d): allow pkey_alloc, "
			 "pkey_free and pkey_mprotect in the seccomp profile",
			 t->step == KEYS_TAG ? "pkey_mprotect" : t->step == KEYS_SETUP ? "the self-test" : "pkey_alloc",
			 t->err);
		return -EOPNOTSUPP;
	case TRIAL_WRONG:
		return refuse(why, size,
			      t->step == KEYS_DENIED
				      ? "kernel: a page with a denied key can be read all the same, so keys protect "
					"nothing here: use a kernel instead of an emulation of one"
				      : "kernel: a page with an allowed key cannot be read: use another kernel");
	case TRIAL_KILLED:
		snprintf(why, size,
			 "sandbox: the self-test of protection keys was killed by signal %d: allow pkey_alloc, "
			 "pkey_free and pkey_mprotect",
			 t->err);
		return -EOPNOTSUPP;
	case TRIAL_NOT_RUN:
		return refuse(why, size,
			      "process: no child could be started for the self-test of protection keys: raise "
			      "RLIMIT_NPROC or the memory limit");
	}
	return 0;
}

static int trial_refusal(const struct trial *t, const char *what, const char *way_out, char *why, size_t size)
{
	switch (t->end) {
	case TRIAL_OK:
		return 0;
	case TRIAL_ERRNO:
		snprintf(why, size, "kernel or sandbox: %s refused (errno %d): %s", what, t->err, way_out);
		break;
	case TRIAL_WRONG:
		snprintf(why, size, "kernel: %s accepted and without effect: %s", what, way_out);
		break;
	case TRIAL_KILLED:
		snprintf(why, size, "sandbox: %s answered with signal %d: %s", what, t->err, way_out);
		break;
	case TRIAL_NOT_RUN:
		snprintf(why, size,
			 "process: no child could be started to see whether %s accepted: raise RLIMIT_NPROC or "
			 "the memory limit",
			 what);
		break;
	}
	return -EOPNOTSUPP;
}

/*
 * A far jump to the 32-bit code segment, which every process has, reaches code below 4 GiB. WRPKRU works there, too,
 * and what compares it afterwards is decoded otherwise: REX prefixes are INC and DEC, the gs base is cut off at 32
 * bits.
 */
static int low_gates_refusal(const struct machine *m, char *why, size_t size)
{
	if (m->gates >> 32 != 0) {
		return 0;
	}
	return refuse(why, size,
		      "process: the program is not position-independent, so its gates lie below 4 GiB, where 32-bit "
		      "code can jump into them: link it with -pie, or with the shared library");
}

int detect_refusal(const struct machine *m, enum lych_backend backend, char *why, size_t size)
{
	int rc;

	why[0] = '\0';
	if (!m->fsgsbase) {
		return refuse(why, size,
			      "kernel: programs may not use RDGSBASE here (no FSGSBASE): use a kernel from 5.9 on, "
			      "booted without nofsgsbase");
	}
	if (m->shadow_stack) {
		return refuse(why, size,
			      "process: it runs with a shadow stack, which no gate switches yet: start it with "
			      "GLIBC_TUNABLES=glibc.cpu.x86_shstk=off");
	}
	if (m->gs != 0) {
		return refuse(why, size,
			      "process: something else uses the gs base of this thread (Wine does): the two cannot "
			      "be in one process");
	}
	rc = trial_refusal(&m->dispatch, "Syscall User Dispatch (prctl) is",
			   "use a kernel from 5.11 on and allow prctl in the sandbox", why, size);
	if (rc == 0) {
		rc = trial_refusal(&m->filter, "a seccomp filter is",
				   "use a kernel with CONFIG_SECCOMP_FILTER and allow seccomp in the sandbox", why,
				   size);
	}
	if (rc == 0 && backend == LYCH_PKU) {
		rc = low_gates_refusal(m, why, size);
	}
	if (rc == 0 && backend == LYCH_PKU) {
		rc = keys_refusal(m, why, size);
	}
	return rc;
}
