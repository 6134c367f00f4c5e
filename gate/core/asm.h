/* SPDX-License-Identifier: Apache-2.0 */
/* What gate_x86_64.S offers to C. Two instances: _pku, whose sites execute WRPKRU, and _soft, which write
 * GATE_SOFT instead (machines without keys, ABI tests). */
#ifndef LYCH_ASM_H
#define LYCH_ASM_H

#include "runtime.h"

/* A raw system call: -errno on failure, errno untouched. Never through libc. */
LYCH_HIDDEN long lych_syscall(long nr, long a, long b, long c, long d, long e, long f);
#define sys6 lych_syscall
#ifndef SYS_mseal /* Linux 6.10 */
#define SYS_mseal 462
#endif
#define sys5(n, a, b, c, d, e) lych_syscall(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define sys4(n, a, b, c, d) lych_syscall(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define sys3(n, a, b, c) lych_syscall(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define sys2(n, a, b) lych_syscall(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define sys1(n, a) lych_syscall(n, (long)(a), 0, 0, 0, 0, 0)
#define sys0(n) lych_syscall(n, 0, 0, 0, 0, 0, 0)

/*
 * pkru_update sets PKRU := (PKRU & ~clear) | set on the calling thread, which is attached, and gives back what it
 * was. A site: the new value goes through GATE_NOT_WANT. Host only. Async-signal-safe: interrupted, it starts again.
 */
LYCH_HIDDEN uint32_t lych_pkru_update_pku(uint32_t clear, uint32_t set);
LYCH_HIDDEN uint32_t lych_pkru_update_soft(uint32_t clear, uint32_t set);
/*
 * The same for bits that the host may choose: GATE_NOT_HOST gets them, too, so that they hold in callbacks and handlers.
 * -1, and nothing has changed, when *ours has any of clear. A key that *ours gets before all threads are kicked is refused, or
 * taken from this thread by the kick.
 */
LYCH_HIDDEN int64_t lych_pkru_choose_pku(uint32_t clear, uint32_t set, const _Atomic uint32_t *ours);
LYCH_HIDDEN int64_t lych_pkru_choose_soft(uint32_t clear, uint32_t set, const _Atomic uint32_t *ours);
LYCH_HIDDEN uint32_t lych_pkru_read_pku(void);
LYCH_HIDDEN uint32_t lych_pkru_read_soft(void);

/*
 * lych_grant_first gives the calling thread, which has no rights to the monitor key yet, all rights: for attaching.
 * Code in a domain that jumps there has nothing from it: a system call follows at once, and with the selector at
 * BLOCK that ends in the monitor, which lets a domain's context go on with the domain's rights only.
 */
LYCH_HIDDEN void lych_grant_first_pku(void);

/*
 * A raw system call, call[0], with call[1] to call[6], under GATE_NOT_VIEW, the view of the domain on top: the kernel reads and
 * writes for it what the domain itself could. lych_view_call runs as the host (an answer: ~GATE_NOT_HOST is in force before and
 * behind it, and signals may come); lych_view_call_monitor in lych_signal. Sites. Between _narrow and _narrow_end a host's
 * context has a domain's rights, or is about to: no more are given to it there, and they are not what the host has chosen.
 * With the pku backend only.
 */
LYCH_HIDDEN long lych_view_call(const long call[7]);
LYCH_HIDDEN long lych_view_call_monitor(const long call[7]);
LYCH_HIDDEN extern const char lych_view_call_narrow[], lych_view_call_narrow_end[];
/* library/copy.c. Which of them it is: only lych_signal runs with all rights. Without keys a bare system call. */
LYCH_HIDDEN long view_call(const long call[7]);

/* Raises SIGILL at lych_restore_trap, which must not be blocked: strangers.c. */
LYCH_HIDDEN long lych_restore_ask(uint32_t clear, uint32_t set, bool chosen);
LYCH_HIDDEN extern const char lych_restore_trap[];

/*
 * pkeys.c: pkey_set, pkey_alloc and pkey_free for the host, as the library exports them, by names that nobody interposes.
 * Where glibc's pkey_set is made unusable its entry leads to lych_pkey_set (repair_options.pkey_set). Until lych_init has
 * succeeded that calls glibc's own, if that is whole, and otherwise does the same.
 */
LYCH_HIDDEN int lych_pkey_set(int key, unsigned int rights);
LYCH_HIDDEN int lych_pkey_alloc(unsigned int flags, unsigned int rights);
LYCH_HIDDEN int lych_pkey_free(int key);

/* Signal entry and ways out of it. Only addresses, except the noreturn functions. */
LYCH_HIDDEN void lych_signal_entry_pku(int, siginfo_t *, void *);
LYCH_HIDDEN void lych_signal_entry_soft(int, siginfo_t *, void *);
LYCH_HIDDEN extern const char lych_signal_entry_end_pku[], lych_signal_entry_end_soft[];
LYCH_HIDDEN void lych_restorer(void); /* SA_RESTORER: rt_sigreturn */

struct sigframe;

/* rt_sigreturn from frame, which lies in monitor memory. The selector must be ALLOW. */
LYCH_HIDDEN _Noreturn void lych_sigreturn(struct sigframe *frame);

/*
 * Runs a handler of the host: from the monitor's stack with all signals blocked to the host's stack at rsp
 * (16-byte aligned), PKRU := ~GATE_NOT_HOST, signal mask := mask, handler(sig, info, context). When it returns,
 * signals are blocked again and lych_signal_done is called on the monitor's stack, with rsp as it was when the
 * handler had returned: which tells the handlers that were left by siglongjmp from the one that came back.
 */
struct handler_run {
	void (*handler)(int, siginfo_t *, void *);
	long sig;
	siginfo_t *info;
	void *context;
	uint64_t rsp;
	const uint64_t *mask;
};
LYCH_HIDDEN _Noreturn void lych_handler_run_pku(const struct handler_run *run);
LYCH_HIDDEN _Noreturn void lych_handler_run_soft(const struct handler_run *run);

/*
 * Where sigreturn goes when the interrupted context was a domain's: with full rights and the selector at ALLOW,
 * rax = the resume block, rdx = the domain's fs base or 0. Sets BLOCK, drops to ~GATE_NOT_VIEW, compares, restores from the block, which lies in
 * memory of the domain. Interrupted, it is started again with the same block.
 */
LYCH_HIDDEN extern const char lych_resume_pku[], lych_resume_pku_end[];
LYCH_HIDDEN extern const char lych_resume_soft[], lych_resume_soft_end[];
struct resume_block { /* in this order: popped, then iretq */
	uint64_t rcx, rdx, rax;
	uint64_t rip, cs, rflags, rsp, ss;
};

/*
 * Where sigreturn goes to end the call of the top record: host rights, selector ALLOW, MON_TOP the record of the
 * call (KIND_CALL), eax = the status. Restores the caller from the record and returns to it.
 */
LYCH_HIDDEN extern const char lych_abort_pku[], lych_abort_soft[];

/*
 * Stretches in which a signal found the selector at BLOCK although rip is in the gate: true when rip is in one. The
 * context gets the domain's rights whatever happens; *target is where it goes on: after the compare when rights were
 * about to be dropped, at the write again when they were just got. *rsp_from is 0 (rsp stays) or 1 + the index of
 * the register in struct kernel_sigcontext that becomes rsp.
 */
LYCH_HIDDEN bool gate_window_find(uint64_t rip, uint64_t *target, unsigned int *rsp_from);

/* Stretches of host code that go on at *target: from the beginning while PKRU is not written, behind the compare when
 * it is (the entry has reset GATE_NOT_WANT). Only with the selector at ALLOW. */
LYCH_HIDDEN bool gate_restart_find(uint64_t rip, uint64_t *target);

/*
 * Where the gate touches the stack of a domain with the host's rights: the instruction that writes a call's argument there,
 * which goes on at lych_call_no_stack_pku when it cannot (the call is refused), and the one that reads a callback's, with
 * the callback's record on top. Of most stacks nobody but the runtime can take anything away; a thread of a library domain's
 * own has one that the domain has mapped.
 */
LYCH_HIDDEN extern const char lych_call_word_pku[], lych_call_no_stack_pku[], lych_callback_word_pku[];

/* Is rip the ud2 of the sites and of the checks behind them? Reached only by whoever forged something. */
LYCH_HIDDEN bool gate_is_trap(uint64_t rip);
LYCH_HIDDEN extern const char lych_traps[], lych_traps_end[], lych_traps_soft[], lych_traps_soft_end[];
/* All text of the gate. */
LYCH_HIDDEN extern const char lych_gate_text[], lych_gate_text_end[];
LYCH_HIDDEN extern const char lych_gate_pages_end[]; /* lych_gate_text begins a page, and this one is the end of one */
LYCH_HIDDEN extern const char lych_gate_soft[], lych_gate_soft_text_end[];
LYCH_HIDDEN bool gate_holds(uint64_t rip); /* all of it, in either instance */

/* Static thunks. */
LYCH_HIDDEN extern const char lych_pointer_thunks[];  /* LYCH_THUNKS of 16 bytes, for both backends */
LYCH_HIDDEN extern const char lych_callback_thunks_pku[]; /* LYCH_CALLBACK_THUNKS of 16 bytes */
LYCH_HIDDEN extern const char lych_callback_thunks_soft[];
LYCH_HIDDEN extern const char lych_callback_thunks_none[]; /* LYCH_NONE_CALLBACKS of 16 bytes (gate_none.S) */
struct thunk { /* in monitor memory, one for each typed pointer handed out; offsets in gate_asm.h */
	struct lych_domain *domain; /* NULL: free */
	const struct lych_binding *binding;
	uint64_t reserved[2];
};

/* ---- what C offers to the assembly ---------------------------------------------------------- */

/*
 * The gate's slow way, on the caller's stack, host rights, all argument registers saved. Why: the thread is not
 * attached, or gs is not its own; the domain's id differs from the slot's (no stack yet, poisoned, reset, or a
 * domain that is always slow); no room for a record. Returns 0: try again, everything is in place; else the
 * negative errno the call ends with. record is NULL before one was pushed.
 */
LYCH_HIDDEN int lych_gate_slow(struct lych_domain *domain, struct record *record);

/*
 * There is no room for a record: those of calls that were left by siglongjmp are given up. rsp is that at the gate's
 * first instruction; what is at or below it is gone. 0: try again; -EXFULL: none was left.
 */
LYCH_HIDDEN int lych_gate_too_deep(uint64_t rsp);

/*
 * After a call was ended, before its caller gets the status; on the caller's stack with all of the host's rights. Its
 * record is still on top, so that nobody frees the domain while the report is made of it; then this takes the record
 * away, and on_fault runs. Gives back the status.
 */
LYCH_HIDDEN int lych_gate_failed(struct lych_domain *domain, int status);

/* A callback has returned to a domain that was poisoned or whose call was canceled meanwhile: the status. */
LYCH_HIDDEN int lych_callback_refused(struct record *call);

/*
 * The mprotect backend's share of the soft gate; domains there have odd ids. leave: whenever code of the domain stops
 * running on this thread, that is before a call returns (however it ended) and before a callback runs. enter: when
 * a callback returns to the domain, with the record of the call; 0, or -ENOMEM: the call is to end with that. Into
 * the domain the first time lych_gate_slow goes itself (backend_mprotect_enter). Called by the _soft instance when the
 * record's call_id is odd, the record still on top. On the host's stack, host rights; they take monitor->lock. leave
 * twice is leave once.
 */
LYCH_HIDDEN void lych_gate_leave_soft(struct record *record);
LYCH_HIDDEN int lych_gate_enter_soft(struct record *call);

/* signal.c. On the monitor's stack, everything open, all signals blocked. selector: what it was, and
 * SELECTOR_FORGED. sig: as the kernel gave it in a register. */
LYCH_HIDDEN _Noreturn void lych_signal(struct area *area, struct sigframe *frame, uint32_t selector, int sig);
LYCH_HIDDEN _Noreturn void lych_signal_done(struct area *area, uint64_t rsp);
/* A signal on a thread that is not attached: with whatever rights it came, nothing was granted. */
LYCH_HIDDEN void lych_signal_unattached(int sig, siginfo_t *info, void *context);

#endif /* LYCH_ASM_H */
