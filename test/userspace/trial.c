/* SPDX-License-Identifier: Apache-2.0 */
#include "program.h"

#include <string.h>

static const char *const names[] = {"rax", "rdi", "rsi", "rdx", "rcx", "r8", "r9",
				    "r10", "rbp", "r12", "r13", "r14", "r15"};

uint32_t trial_level(void)
{
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx512bw")) {
		return 2;
	}
	return __builtin_cpu_supports("avx") ? 1 : 0;
}

static uint64_t next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

void trial_fill(struct trial *trial, uint64_t seed)
{
	uint64_t *words = (uint64_t *)&trial->in;

	seed = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	memset(trial, 0, sizeof(*trial));
	trial->level = trial_level();
	trial->which = UINT64_MAX;
	for (size_t i = 0; i < sizeof(trial->in) / 8; i++) {
		words[i] = next(&seed);
	}
	trial->in.mxcsr =
		0x1f80 | (trial->in.mxcsr & 0xe03f); /* exceptions masked, any mode, any flags */
	trial->in.st[7] |= 0x80;
	trial->in.st[8] = 0x12;
	trial->in.st[9] = 0x40;
}

/* So many bytes of each vector register count. */
static const size_t widths[] = {16, 32, 64};

/* In front of each call la_pltenter looks at the registers of arguments, and saves no others. */
enum trial_kept trial_kept_by_call(void)
{
	return program.audited ? TRIAL_ARGUMENTS : TRIAL_CALL;
}

/* Before Debian 13 vectors were lost in a thread's first access (glibc's bug 31372). */
enum trial_kept trial_kept_by_access(void)
{
	return libc_minor() >= 41 ? TRIAL_ALL : TRIAL_GENERAL;
}

void trial_compare(const struct trial *trial, enum trial_kept kept, const char *name, int number)
{
	const struct registers *in = &trial->in, *out = &trial->out;
	int vectors = kept == TRIAL_ARGUMENTS ? 8 : trial->level == 2 ? 32 : 16;

	for (int i = 0; i < 13; i++) {
		bool call = kept == TRIAL_ARGUMENTS || kept == TRIAL_CALL;

		if (strcmp(names[i], call ? "r10" : "rax") != 0 &&
		    in->general[i] != out->general[i]) {
			fail("%s%d: %s was %#lx and is %#lx", name, number, names[i],
			     in->general[i], out->general[i]);
		}
	}
	if (kept == TRIAL_GENERAL) {
		return;
	}
	for (int i = 0; i < vectors; i++) {
		if (memcmp(in->vector[i], out->vector[i], widths[trial->level]) != 0) {
			fail("%s%d: vector register %d is another", name, number, i);
		}
	}
	if (kept == TRIAL_ARGUMENTS) {
		return;
	}
	if (trial->level == 2 && memcmp(in->mask, out->mask, sizeof(in->mask)) != 0) {
		fail("%s%d: a mask register is another", name, number);
	}
	if (in->mxcsr != out->mxcsr) {
		fail("%s%d: mxcsr was %#x and is %#x", name, number, in->mxcsr, out->mxcsr);
	}
	if (memcmp(in->st, out->st, 10) != 0) {
		fail("%s%d: st(0) is another", name, number);
	}
}

__attribute__((target("avx"))) static void clobber_avx(void)
{
	__asm__ volatile("vzeroall" ::
				 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
				   "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
				   "xmm15");
}

__attribute__((target("avx512bw"))) static void clobber_avx512(void)
{
	__asm__ volatile(".irp "
			 "reg,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,"
			 "26,27,28,29,30,31\n"
			 "vpternlogd $0xff,%%zmm\\reg,%%zmm\\reg,%%zmm\\reg\n"
			 ".endr\n"
			 ".irp reg,0,1,2,3,4,5,6,7\n"
			 "kxnorq %%k\\reg,%%k\\reg,%%k\\reg\n"
			 ".endr\n"
			 "vzeroupper" ::
				 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
				   "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
				   "xmm15", "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21",
				   "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28",
				   "xmm29", "xmm30", "xmm31", "k1", "k2", "k3", "k4", "k5", "k6",
				   "k7");
}

void trial_clobber(void)
{
	uint32_t modes = 0x1fbf, level = trial_level();

	__asm__ volatile("ldmxcsr %0\n\tfninit\n\tfldpi\n\tfldl2e" ::"m"(modes));
	if (level == 2) {
		clobber_avx512();
	} else if (level == 1) {
		clobber_avx();
	} else {
		__asm__ volatile(".irp reg,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
				 "pcmpeqd %%xmm\\reg,%%xmm\\reg\n"
				 ".endr" ::
					 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
					   "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
					   "xmm13", "xmm14", "xmm15");
	}
	__asm__ volatile("fninit");
	modes = 0x1f80;
	__asm__ volatile("ldmxcsr %0" ::"m"(modes));
}
