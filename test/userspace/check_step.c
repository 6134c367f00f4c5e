/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A signal at each instruction of what ld.so does between a call and the function that is called, a
 * trampoline included. The handler uses all registers and looks at the stack.
 */
#include "program.h"
#include "tls.h"

#include <cpuid.h>
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>
#include <unwind.h>

static struct {
	int steps, restores, lost;
	uintptr_t restore, first_lost;
	uintptr_t outer; /* the function that every walk has to come to */
	const void *found;
} seen;

/* XRSTOR, with or without REX. */
static bool restores_at(const uint8_t *code)
{
	if ((code[0] & 0xf0) == 0x40) {
		code++;
	}
	return code[0] == 0x0f && code[1] == 0xae && (code[2] & 0x38) == 0x28 &&
	       (code[2] & 0xc0) != 0xc0;
}

static _Unwind_Reason_Code frame(struct _Unwind_Context *context, void *arg)
{
	(void)arg;
	if ((uintptr_t)_Unwind_FindEnclosingFunction((void *)(_Unwind_GetIP(context) - 1)) ==
	    seen.outer) {
		seen.found = (void *)seen.outer;
		return _URC_END_OF_STACK;
	}
	return _URC_NO_REASON;
}

/* In no file as it was linked. */
static bool in_trampoline(uintptr_t rip)
{
	Dl_info info;

	return dladdr((void *)rip, &info) == 0;
}

static void on_trap(int number, siginfo_t *info, void *context)
{
	uintptr_t rip = (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];

	(void)number;
	(void)info;
	seen.steps++;
	if (restores_at((const uint8_t *)rip)) {
		seen.restores++;
		seen.restore = rip;
	}
	seen.found = NULL;
	_Unwind_Backtrace(frame, NULL);
	if (seen.found == NULL && seen.lost++ == 0) {
		seen.first_lost = rip;
	}
	trial_clobber();
}

/* ld.so uses XSAVE where the system does. */
static bool has_xsave(void)
{
	unsigned int a, b, c, d;

	return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_OSXSAVE) != 0;
}

static void begin(void (*outer)(void))
{
	struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};

	memset(&seen, 0, sizeof(seen));
	seen.outer = (uintptr_t)outer;
	CHECK(sigaction(SIGTRAP, &action, NULL) == 0);
}

static void end(int restores)
{
	Dl_info info;

	printf("%d steps, %d of them XRSTOR\n", seen.steps, seen.restores);
	if (seen.lost != 0) {
		bool known = dladdr((void *)seen.first_lost, &info) != 0;

		fail("%d of %d walks did not reach %p, the first from %s+%#lx", seen.lost,
		     seen.steps, (void *)seen.outer, known ? info.dli_fname : "",
		     seen.first_lost - (known ? (uintptr_t)info.dli_fbase : 0));
	}
	CHECK(seen.restores == (has_xsave() ? restores : 0));
	if (seen.restores > 0) {
		CHECK(in_trampoline(seen.restore) == program.repaired);
	}
}

void check_step(void)
{
	struct trial trial;

	for (int i = 0; i < 4; i++) {
		trial_fill(&trial, 5);
		trial.step = 1;
		begin(check_step);
		trial_call(&trial, fresh_entries + 8 * i);
		CHECK(trial.which == (uint64_t)i);
		trial_compare(&trial, trial_kept_by_call(), "fresh_", i);
		end(program.now || program.audited ? 0 : 1);
		if (!program.now) {
			CHECK(seen.steps > 100);
		}
	}
}

void check_step_tls(void)
{
	for (int i = 0; i < 2; i++) {
		void *library = open_library("libuserspace_tls.so");
		tls_trial_fn *access;
		struct trial trial;
		long *number;

		*(void **)&access = symbol_of(library, "tls_trial");
		trial_fill(&trial, 5);
		trial.step = 1;
		begin(check_step_tls);
		number = access(&trial);
		CHECK(*number == TLS_FIRST);
		trial_compare(&trial, trial_kept_by_access(), "access ", i);
		end(libc_minor() >= 41 ? 1 : 0);
		CHECK(seen.steps > 100);
		CHECK(dlclose(library) == 0);
	}
}
