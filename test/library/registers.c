/* SPDX-License-Identifier: Apache-2.0 */
#include "registers.h"

#include <cpuid.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

struct registers {
	uint64_t gpr[16], flags, fs, masks[8], unused[6];
	struct {
		uint16_t fcw, fsw;
		uint8_t ftw, unused[19];
		uint32_t mxcsr, mxcsr_mask;
		uint8_t st[8][16], xmm[16][16], rest[96];
	} fx;
	uint8_t vector[32][64];
} __attribute__((aligned(64)));
_Static_assert(offsetof(struct registers, flags) == REGISTERS_AT_FLAGS &&
		       offsetof(struct registers, fs) == REGISTERS_AT_FS &&
		       offsetof(struct registers, masks) == REGISTERS_AT_MASKS &&
		       offsetof(struct registers, fx) == REGISTERS_AT_FX &&
		       offsetof(struct registers, vector) == REGISTERS_AT_VECTORS &&
		       sizeof(struct registers) == REGISTERS_BYTES,
	       "registers.S");

#define FLAGS_ALWAYS 0x202u
#define FLAGS 0x240cd5u /* CF PF AF ZF SF DF OF AC ID */
#define MXCSR 0x1f80u   /* nothing traps */
#define RAX 0
#define RCX 1
#define RSP 4
#define R11 11

struct registers registers_before, registers_after, registers_scratch;
const char *volatile registers_act;
int registers_processor = -1, registers_in, registers_word;
uint64_t registers_other_fs;
const uint32_t registers_other_mxcsr = MXCSR;
const uint16_t registers_other_fcw = 0x037f;

extern const char registers_act_call[], registers_act_none[], registers_act_spin[];
extern const char *const registers_controls[REGISTERS_CONTROLS];
extern int registers_filled
	__attribute__((alias("registers_in"), visibility("hidden"))); /* for registers.S */
void registers_run(void);

int registers_level(void)
{
	uint32_t a, b, c, d, low, high;

	__cpuid(1, a, b, c, d);
	if ((c & bit_OSXSAVE) == 0 || (c & bit_AVX) == 0) {
		return 0;
	}
	__asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	if ((low & 6) != 6) {
		return 0;
	}
	return (low & 0xe6) == 0xe6 && __get_cpuid_count(7, 0, &a, &b, &c, &d) &&
			       (b & bit_AVX512F) && (b & bit_AVX512BW)
		       ? 2
		       : 1;
}

static uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* 0: all bits that can be set are; 1: none is; then any. */
static void fill(struct registers *r, long pattern)
{
	uint64_t state = 0x9e3779b97f4a7c15u + (uint64_t)pattern * 0x1234567, any;
	uint64_t *words = (uint64_t *)(void *)r;

	for (size_t i = 0; i < sizeof(*r) / sizeof(uint64_t); i++) {
		words[i] = next(&state);
	}
	any = pattern == 0 ? UINT64_MAX : pattern == 1 ? 0 : next(&state);
	r->flags = FLAGS_ALWAYS | (FLAGS & any);
	memset(r->fx.unused, 0, sizeof(r->fx.unused));
	memset(r->fx.rest, 0, sizeof(r->fx.rest));
	r->fx.fcw = 0x027f | (0x0d00 & any);
	r->fx.fsw = 0x7f3f & any;
	r->fx.ftw = pattern == 0 ? 0xff : pattern == 1 ? 0x3c : (uint8_t)(any >> 32);
	r->fx.mxcsr = MXCSR | (0xe07f & any);
	r->fx.mxcsr_mask = 0;
	for (int i = 0; i < 8; i++) {
		memset(r->fx.st[i] + 10, 0, 6);
	}
	/* The lower half of a vector register is the SSE one. */
	for (int i = 0; i < 16; i++) {
		memcpy(r->fx.xmm[i], r->vector[i], 16);
	}
}

static uint64_t differ(const struct registers *a, const struct registers *b)
{
	size_t bytes = registers_processor == 2 ? 64 : 32;
	uint64_t wrong = 0;

	for (int i = 0; i < 16; i++) {
		wrong |= (uint64_t)(a->gpr[i] != b->gpr[i]) << i;
		wrong |= (uint64_t)(memcmp(a->fx.xmm[i], b->fx.xmm[i], 16) != 0)
			 << (REGISTERS_XMM + i);
		if (registers_processor > 0) {
			wrong |= (uint64_t)(memcmp(a->vector[i] + 16, b->vector[i] + 16,
						   bytes - 16) != 0)
				 << (REGISTERS_UPPER + i);
		}
	}
	for (int i = 0; i < 8; i++) {
		wrong |= (uint64_t)(memcmp(a->fx.st[i], b->fx.st[i], 10) != 0)
			 << (REGISTERS_X87 + i);
	}
	if (registers_processor == 2) {
		wrong |=
			(uint64_t)(memcmp(a->vector[16], b->vector[16], sizeof(a->vector) / 2) != 0)
			<< REGISTERS_HIGH;
		wrong |= (uint64_t)(memcmp(a->masks, b->masks, sizeof(a->masks)) != 0)
			 << REGISTERS_MASKS;
	}
	return wrong | (uint64_t)(a->flags != b->flags) << REGISTERS_FLAGS |
	       (uint64_t)(a->fs != b->fs) << REGISTERS_FS |
	       (uint64_t)(a->fx.mxcsr != b->fx.mxcsr) << REGISTERS_MXCSR |
	       (uint64_t)(a->fx.fcw != b->fx.fcw) << REGISTERS_FCW |
	       (uint64_t)(a->fx.fsw != b->fx.fsw) << REGISTERS_FSW |
	       (uint64_t)(a->fx.ftw != b->fx.ftw) << REGISTERS_FTW;
}

static void run(const char *act)
{
	registers_processor = registers_level();
	registers_word = registers_in = 0;
	registers_act = act;
	memset(&registers_after, 0x5a, sizeof(registers_after));
	registers_run();
}

void registers_make(struct registers_call *call)
{
	static const int order[6] = {7, 6, 2, 10, 8, 9}; /* rdi rsi rdx r10 r8 r9 */
	int spin = call->nr == REGISTERS_SPIN;

	fill(&registers_before, call->pattern);
	for (long i = 0; i < call->arguments; i++) {
		registers_before.gpr[order[i]] = (uint64_t)call->arg[i];
	}
	if (!spin) {
		registers_before.gpr[RAX] = (uint64_t)call->nr;
	}
	run(spin ? registers_act_spin : registers_act_call);
	if (!spin) {
		/* As the processor leaves them, and the kernel. */
		registers_before.gpr[RCX] = (uint64_t)registers_act_none;
		registers_before.gpr[R11] = registers_before.flags;
		call->result = (long)registers_after.gpr[RAX];
		registers_before.gpr[RAX] = registers_after.gpr[RAX];
	}
	call->wrong = differ(&registers_before, &registers_after);
}

uint64_t registers_control(int n)
{
	static uint64_t thread_area[64];

	fill(&registers_before, 0);
	registers_other_fs = (uint64_t)thread_area;
	run(registers_controls[n]);
	return differ(&registers_before, &registers_after);
}

long registers_plain(const long call[7])
{
	register long r10 __asm__("r10") = call[4];
	register long r8 __asm__("r8") = call[5];
	register long r9 __asm__("r9") = call[6];
	long rc;

	__asm__ volatile("syscall"
			 : "=a"(rc)
			 : "a"(call[0]), "D"(call[1]), "S"(call[2]), "d"(call[3]), "r"(r10),
			   "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return rc;
}

static pthread_t thread;

static void *call_there(void *arg)
{
	struct registers_call *call = arg;

	registers_make(call);
	__atomic_store_n(&call->done, 1, __ATOMIC_SEQ_CST);
	return arg;
}

int registers_begin(struct registers_call *call)
{
	return pthread_create(&thread, NULL, call_there, call);
}

void registers_end(void)
{
	pthread_join(thread, NULL);
}

void registers_release(void)
{
	uint64_t word = UINT64_MAX;

	__asm__ volatile(".irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n\t"
			 "movq %0, %%xmm\\i\n\t"
			 "pshufd $0, %%xmm\\i, %%xmm\\i\n\t"
			 ".endr\n\t"
			 "fninit\n\tfld1\n\tfldpi\n\tfstp %%st(0)\n\tfstp %%st(0)"
			 :
			 : "r"(word)
			 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
			   "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "cc");
	if (registers_level() > 0) {
		__asm__ volatile(".irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n\t"
				 "vinsertf128 $1, %%xmm0, %%ymm\\i, %%ymm\\i\n\t"
				 ".endr\n\t"
				 "vzeroupper" ::
					 : "memory");
	}
	if (registers_level() == 2) {
		__asm__ volatile(
			".irp i, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31\n\t"
			"vpternlogd $0xff, %%zmm\\i, %%zmm\\i, %%zmm\\i\n\t"
			".endr\n\t"
			".irp i, 0, 1, 2, 3, 4, 5, 6, 7\n\t"
			"kxnorq %%k\\i, %%k\\i, %%k\\i\n\t"
			".endr" ::
				: "memory");
	}
	__atomic_store_n(&registers_word, 1, __ATOMIC_SEQ_CST);
	registers_act = registers_act_none;
}
