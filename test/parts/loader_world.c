/* SPDX-License-Identifier: Apache-2.0 */
#include "loader_world.h"

#include <asm/prctl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "policy.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_ON 1
#endif
#define ARENA_BYTES ((uint64_t)1 << 30)
#define CALL_STACK_BYTES ((uint64_t)256 << 10)

struct world world = {.fail_after = -1};

/* loader_jump.S */
struct world_call {
	uint64_t fn, rsp, fs, arg[4];
};
extern const char world_text[], world_text_end[], world_back[];
long world_syscall(long nr, const long *arg);
void world_restorer(void);
void world_entry(int sig, siginfo_t *info, void *context);
uint64_t world_enter(const struct world_call *call);
int world_signal(int sig, const siginfo_t *info, ucontext_t *context);
extern uint8_t world_selector;
extern uint64_t world_fs, world_host_fs, world_host_rsp;
uint8_t world_selector;
uint64_t world_fs, world_host_fs, world_host_rsp;

static uint64_t call_stack;

/* ---- memory ----------------------------------------------------------------------------------------------------- */

static int fails(void)
{
	world.mapped++;
	return world.fail_after >= 0 && world.mapped > (unsigned)world.fail_after ? -EOVERFLOW : 0;
}

static int place(void *ctx, uint64_t *at, uint64_t bytes, uint64_t align)
{
	struct world *w = ctx;

	*at = (w->next + align - 1) & -align;
	w->next = *at + bytes + 4096;
	if (w->nplaces < sizeof(w->places) / sizeof(w->places[0])) {
		w->places[w->nplaces].at = *at;
		w->places[w->nplaces++].bytes = bytes;
	}
	return w->next > w->end ? -ENOMEM : fails();
}

static int map(void *ctx, uint64_t at, uint64_t bytes, int prot)
{
	(void)ctx;
	if (mmap((void *)at, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) {
		return -errno;
	}
	return fails();
}

static int copy(void *ctx, uint64_t at, const void *from, uint64_t bytes, int prot)
{
	int rc = map(ctx, at, bytes, PROT_READ | PROT_WRITE);

	if (rc == 0) {
		memcpy((void *)at, from, bytes);
		rc = mprotect((void *)at, bytes, prot) != 0 ? -errno : 0;
	}
	return rc;
}

static int code(void *ctx, const struct loader_code *c)
{
	world.code++;
	for (uint64_t i = 0; i < c->len; i++) {
		bool of_file = c->off + i < c->file_bytes && c->bytes[i] == c->file[c->off + i];

		world.code_of_file += of_file;
		world.code_of_none += !of_file && c->bytes[i] != 0;
	}
	return copy(ctx, c->at, c->bytes, c->len, PROT_READ | PROT_EXEC);
}

static int write_bytes(void *ctx, uint64_t at, const void *from, uint64_t bytes)
{
	(void)ctx;
	memcpy((void *)at, from, bytes);
	return fails();
}

static void *scratch(void *ctx, uint64_t bytes)
{
	void *at = calloc(1, bytes);

	(void)ctx;
	world.scratch += at != NULL ? bytes : 0;
	if (fails() != 0) {
		world.scratch -= bytes;
		free(at);
		return NULL;
	}
	return at;
}

static void release(void *ctx, void *memory, uint64_t bytes)
{
	(void)ctx;
	world.scratch -= bytes;
	free(memory);
}

/* ---- system calls ----------------------------------------------------------------------------------------------- */

static void end_call(ucontext_t *context, enum world_end how, uint64_t value)
{
	world.how = how;
	world.value = value;
	context->uc_mcontext.gregs[REG_RAX] = (greg_t)value;
	context->uc_mcontext.gregs[REG_RIP] = (greg_t)world_back;
}

/* As the kernel would, but nobody runs. */
static long make_thread(const greg_t *g)
{
	world.cloned = true;
	world.thread = (struct inside_start){
		.rip = (uint64_t)g[REG_RIP], .rsp = (uint64_t)g[REG_RSI], .rax = 0, .rbx = (uint64_t)g[REG_RBX],
		.rcx = (uint64_t)g[REG_RIP], .rdx = (uint64_t)g[REG_RDX], .rsi = (uint64_t)g[REG_RSI],
		.rdi = (uint64_t)g[REG_RDI], .rbp = (uint64_t)g[REG_RBP], .r8 = (uint64_t)g[REG_R8],
		.r9 = (uint64_t)g[REG_R9], .r10 = (uint64_t)g[REG_R10], .r11 = (uint64_t)g[REG_EFL],
		.r12 = (uint64_t)g[REG_R12], .r13 = (uint64_t)g[REG_R13], .r14 = (uint64_t)g[REG_R14],
		.r15 = (uint64_t)g[REG_R15],
	};
	world.thread_fs = (uint64_t)g[REG_R8];
	world.thread_tid_at = (uint64_t)g[REG_R10];
	if ((g[REG_RDI] & CLONE_PARENT_SETTID) != 0) {
		*(int *)(uintptr_t)g[REG_RDX] = 4242;
	}
	return 4242;
}

static void begin(const struct inside_start *s, greg_t *g)
{
	const uint64_t now[][2] = {
		{REG_RIP, s->rip}, {REG_RSP, s->rsp}, {REG_RAX, s->rax}, {REG_RBX, s->rbx}, {REG_RCX, s->rcx}, {REG_RDX, s->rdx},
		{REG_RSI, s->rsi}, {REG_RDI, s->rdi}, {REG_RBP, s->rbp}, {REG_R8, s->r8},   {REG_R9, s->r9},   {REG_R10, s->r10},
		{REG_R11, s->r11}, {REG_R12, s->r12}, {REG_R13, s->r13}, {REG_R14, s->r14}, {REG_R15, s->r15},
	};

	for (size_t i = 0; i < sizeof(now) / sizeof(now[0]); i++) {
		g[now[i][0]] = (greg_t)now[i][1];
	}
}

static long answer(long nr, greg_t *g, ucontext_t *context, bool *ended)
{
	const long arg[6] = {(long)g[REG_RDI], (long)g[REG_RSI], (long)g[REG_RDX],
			     (long)g[REG_R10], (long)g[REG_R8],  (long)g[REG_R9]};

	*ended = true;
	switch (nr) {
	case LYCH_SYS_INSIDE:
		if (arg[0] == INSIDE_BEGIN) {
			*ended = false;
			begin((const struct inside_start *)arg[1], g);
			return g[REG_RAX];
		}
		world.argument = (uint64_t)arg[1];
		end_call(context, WORLD_PRIVATE, (uint64_t)arg[0]);
		return 0;
	case SYS_exit:
		if (world.thread_tid_at != 0) {
			*(int *)world.thread_tid_at = 0;
		}
		end_call(context, WORLD_THREAD_EXIT, (uint64_t)arg[0]);
		return 0;
	case SYS_exit_group:
		end_call(context, WORLD_EXIT, (uint64_t)arg[0]);
		return 0;
	default:
		*ended = false;
		break;
	}
	switch (nr) {
	case SYS_brk: /* there is one for the process, and the test's own library has it */
		return 0;
	case SYS_arch_prctl:
		if (arg[0] == ARCH_SET_FS) {
			world_fs = (uint64_t)arg[1];
			return 0;
		}
		return -EINVAL;
	case SYS_rseq:
	case SYS_clone3:
		return -ENOSYS;
	case SYS_clone:
		return make_thread(g);
	case SYS_set_tid_address:
		return 4241;
	case SYS_set_robust_list:
		return 0;
	default:
		return world_syscall(nr, arg);
	}
}

/* With the host's fs base. Goes the interrupted context on inside? */
int world_signal(int sig, const siginfo_t *info, ucontext_t *context)
{
	greg_t *g = context->uc_mcontext.gregs;
	bool ended = false;
	long result;

	if (sig != SIGSYS) {
		end_call(context, WORLD_FAULT, (uint64_t)(uintptr_t)info->si_addr);
		return 0;
	}
	world.calls++;
	if (info->si_syscall >= 0 && info->si_syscall < 512) {
		world.of[info->si_syscall]++;
	}
	result = answer(info->si_syscall, g, context, &ended);
	if (!ended) {
		g[REG_RAX] = (greg_t)result;
	}
	return !ended;
}

/* ---- the start -------------------------------------------------------------------------------------------------- */

static int catch_signals(void)
{
	struct {
		void (*handler)(int, siginfo_t *, void *);
		unsigned long flags;
		void (*restorer)(void);
		uint64_t mask;
	} action = {world_entry, SA_SIGINFO | SA_ONSTACK | 0x04000000 /* SA_RESTORER */, world_restorer, 0};
	stack_t stack = {.ss_size = (size_t)256 << 10};

	stack.ss_sp = mmap(NULL, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (stack.ss_sp == MAP_FAILED || sigaltstack(&stack, NULL) != 0) {
		return -errno;
	}
	for (int i = 0; i < 3; i++) {
		static const int sigs[] = {SIGSYS, SIGSEGV, SIGILL};
		if (syscall(SYS_rt_sigaction, sigs[i], &action, NULL, sizeof(action.mask)) != 0) {
			return -errno;
		}
	}
	return prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, world_text, world_text_end - world_text,
		     &world_selector) != 0 ? -errno : 0;
}

int world_begin(void)
{
	void *at = mmap(NULL, ARENA_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED) {
		return -errno;
	}
	world.low = world.next = (uint64_t)(uintptr_t)at;
	world.end = world.low + ARENA_BYTES;
	world.ops = (struct loader_ops){&world, place, map, copy, code, write_bytes, scratch, release};
	return 0;
}

uint64_t world_call(uint64_t fs, uint64_t fn, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	const struct world_call call = {fn, call_stack + CALL_STACK_BYTES, fs, {a, b, c, d}};
	uint64_t result;

	world.how = WORLD_RETURNED;
	result = world_enter(&call);
	if (world.how == WORLD_RETURNED) {
		world.value = result;
	}
	return world.value;
}

int world_start(const struct lych_library_opts *opts, const char *name)
{
	int rc = loader_begin(&world.start, &world.ops, opts, name);

	if (rc == 0) {
		rc = place(&world, &call_stack, CALL_STACK_BYTES, 4096);
	}
	if (rc == 0) {
		rc = map(&world, call_stack, CALL_STACK_BYTES, PROT_READ | PROT_WRITE);
	}
	if (rc == 0) {
		rc = catch_signals();
	}
	if (rc != 0) {
		return rc;
	}
	(void)world_call(0, world.start.enter, world.start.start, 0, 0, 0);
	if (world.how == WORLD_PRIVATE && world.value == INSIDE_READY) {
		world.main_fs = world_fs;
		memcpy(&world.table, (const void *)world.argument, sizeof(world.table));
	}
	return 0;
}

void world_begin_thread(void)
{
	struct inside_start *start = (void *)call_stack;

	*start = world.thread;
	world.cloned = false;
	(void)world_call(world.thread_fs, world.start.enter, call_stack, 0, 0, 0);
}
