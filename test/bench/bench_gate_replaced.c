/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate on a real processor without protection keys: the assembly as it is, but with another instruction where
 * WRPKRU stands (BENCH_REPLACED says which). A thread area, a domain and the tables the gate reads are made by hand,
 * so what is measured is the gate's own path and nothing of the rest of the runtime. RDPKRU is replaced by a load.
 *
 * It says nothing about what WRPKRU costs. NOP is a lower bound; LFENCE also stops later loads, as WRPKRU does.
 */
#include <asm/prctl.h>

#include "asm.h"
#include "bench_calls.h"
#include "keys.h"

#define RUNS 41
#define ROUNDS 20000

union lych_root_page lych_root_page __attribute__((aligned(LYCH_PAGE)));
__thread struct area *lych_tls;
__thread struct none_thread *lych_none_tls;

static struct lych_domain domain;
static struct lych_callback_entry callbacks[1];
static struct thunk thunks[LYCH_THUNKS];

FUNCTION static void callback(void)
{
	__asm__ volatile("");
}

/* What a domain calls to get there. In the domain, both of them: */
static void (*volatile back)(void) = (void (*)(void))(uintptr_t)lych_callback_thunks_pku;
MEASURED(callback_inside, back())

/* skip: bytes of the clearing code for the registers that carry arguments. */
#define BINDING(function, registers, bytes)                                                        \
	{                                                                                          \
		.fn = (void (*)(void))(function), .skip = (bytes), .ngpr = (registers), .align = 4 \
	}
static const struct lych_binding bind_empty = BINDING(callee_empty, 0, 0);
static const struct lych_binding bind_six = BINDING(callee_six, 6, 16);
static const struct lych_binding bind_loop = BINDING(loop_callback_inside, 1, 2);
static const struct lych_binding bind_once = BINDING(once_callback_inside, 1, 2);
static const struct lych_binding bind_callback = BINDING(callback, 0, 0);

/* The gate by the signatures it is called with here. */
extern void gate_empty(struct lych_hidden) __asm__("lych_gate");
extern long gate_six(struct lych_hidden, long, long, long, long, long, long) __asm__("lych_gate");
extern void gate_once(struct lych_hidden, void *) __asm__("lych_gate");
extern uint64_t gate_loop(struct lych_hidden, unsigned int) __asm__("lych_gate");

static inline void call_empty(void)
{
	int status = 0;

	gate_empty((struct lych_hidden)LYCH_I_HIDDEN(&domain, &bind_empty, &status, 0));
}

static inline long call_six(void)
{
	int status = 0;

	return gate_six((struct lych_hidden)LYCH_I_HIDDEN(&domain, &bind_six, &status, 0), 1, 2, 3, 4, 5, 6);
}

static uint64_t loop_callback(unsigned int rounds)
{
	int status = 0;

	return gate_loop((struct lych_hidden)LYCH_I_HIDDEN(&domain, &bind_loop, &status, 0), rounds);
}

static void once_callback(void *ctx)
{
	int status = 0;

	gate_once((struct lych_hidden)LYCH_I_HIDDEN(&domain, &bind_once, &status, 0), ctx);
}

static void (*pointer_empty)(void);
static long (*pointer_six)(long, long, long, long, long, long);

MEASURED(gate_empty, call_empty())
MEASURED(gate_six, call_six())
MEASURED(pointer_empty, pointer_empty())
MEASURED(pointer_six, pointer_six(1, 2, 3, 4, 5, 6))

static void *map(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	memset(at, 0, bytes);
	return at;
}

static void set_up(void)
{
	const unsigned int key = 3;
	const uint32_t host_view = 0, view = VIEW_DENY_ALL & ~VIEW_BITS(0) & ~VIEW_BITS(key);
	uint8_t *space = map(2 * AREA_SIZE), *stack = map(256 * 1024);
	struct area *area = (struct area *)(((uintptr_t)space + AREA_SIZE - 1) & ~(uintptr_t)(AREA_SIZE - 1));
	struct thread *thread = &area->thread;

	__builtin_cpu_init();
	ROOT.scrub = __builtin_cpu_supports("avx512f") ? SCRUB_AVX512 : __builtin_cpu_supports("avx") ? SCRUB_AVX : SCRUB_SSE;
	ROOT.backend = LYCH_PKU;
	ROOT.thunks = thunks;
	area->gate.self = (uintptr_t)area;
	area->gate.magic = GATE_MAGIC_VALUE;
	area->gate.not_host = ~host_view;
	area->gate.soft_pkru = host_view;
	thread->records[0].kind = KIND_BOTTOM;
	thread->top = &thread->records[0];
	thread->limit = &thread->records[DEPTH_MAX - 2];
	domain.id = 2;
	domain.slot = MON_SLOTS + key * SLOT_SIZE;
	domain.not_view = ~view;
	domain.callbacks = callbacks;
	domain.ncallbacks = 1;
	domain.key = key;
	callbacks[0].fn = (void (*)(void))callback;
	callbacks[0].binding = &bind_callback;
	thunks[0] = (struct thunk){&domain, &bind_empty, {0}};
	thunks[1] = (struct thunk){&domain, &bind_six, {0}};
	pointer_empty = (void (*)(void))(uintptr_t)&lych_pointer_thunks[0];
	pointer_six = (long (*)(long, long, long, long, long, long))(uintptr_t)&lych_pointer_thunks[16];
	thread->slots[key] = (struct slot){.sp = (uintptr_t)stack + 256 * 1024 - LYCH_PAGE, .id = 2, .low = (uintptr_t)stack,
					   .top = (uintptr_t)stack + 256 * 1024 - LYCH_PAGE};
	if (syscall(SYS_arch_prctl, ARCH_SET_GS, area) != 0 || syscall(SYS_arch_prctl, ARCH_GET_FS, &thread->host_fs) != 0) {
		perror("arch_prctl");
		exit(1);
	}
	lych_tls = area;
}

#define ROW(name, what) row(name, loop_##what, once_##what, "once_" #what)
static double plain_ticks, getpid_ticks;

static void row(const char *name, uint64_t (*loop)(unsigned int), void (*once)(void *), const char *caller)
{
	double ticks = cost_of(loop, ROUNDS, RUNS);
	struct step_count count;

	_mm_setcsr(caller_mxcsr);
	if (!step_counts(&count, once)) {
		exit(1);
	}
	printf("  %-40s %8.1f %9.1f %9.3f %9u   ", name, ticks, ticks / plain_ticks, ticks / getpid_ticks, count.instructions);
	step_print_parts(&count, caller);
	printf("\n");
}

int main(void)
{
	set_up();
	if (call_six() != 1 || pointer_six(7, 2, 3, 4, 5, 6) != 7) {
		(void)fprintf(stderr, "the gate does not work here\n");
		return 1;
	}
	plain_ticks = cost_of(loop_plain_empty, ROUNDS, RUNS);
	getpid_ticks = cost_of(loop_getpid, ROUNDS, RUNS);
	printf("WRPKRU replaced by %s. Ticks of the time-stamp counter, the least of %d runs, and what they are in plain\n"
	       "calls and in getpids; instructions of one, single-stepped, and whose they are.\n",
	       BENCH_REPLACED, RUNS);
	print_machine(stdout);
	printf("  %-40s %8s %9s %9s %9s\n", "", "ticks", "calls", "getpids", "instr.");
	ROW("plain call through a pointer", plain_empty);
	ROW("plain call, 6 arguments", plain_six);
	ROW("call into a domain and back", gate_empty);
	ROW("... 6 arguments", gate_six);
	caller_mxcsr = MXCSR_INEXACT;
	ROW("... after an inexact operation", gate_empty);
	caller_mxcsr = MXCSR_FRESH;
	ROW("... through a typed pointer", pointer_empty);
	ROW("... through a typed pointer, 6 arguments", pointer_six);
	ROW("callback out of a domain and back", callback);
	ROW("getpid", getpid);
	return 0;
}
