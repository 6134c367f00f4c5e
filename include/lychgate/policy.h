/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which system calls code in a domain may make.
 *
 * None of them reaches the kernel as it was made: each ends in the runtime, which answers it. What every domain
 * has: write and writev to file descriptor 2; clocks; getrandom; private futexes in its own memory; sched_yield;
 * its own pid, tid and user; exit and abort, which end the call into the domain. Everything else is refused with
 * EPERM (ENOSYS for a number the runtime does not know) and can be read with lych_refused. A domain of lych_open has
 * more, memory and threads among it, and what its policy allows: lychgate-policy(5).
 */
#ifndef LYCHGATE_POLICY_H
#define LYCHGATE_POLICY_H

#include <lychgate/domain.h>

LYCH_BEGIN_DECLS

/*
 * lych_domain_allow opens one more call for domain: nanosleep, clock_nanosleep (a relative time), getrusage (of the
 * process or the thread), sysinfo, uname, times, getcpu. It cannot be taken back.
 *
 * Returns 0, or
 *	-EINVAL  domain is NULL, or of lych_open, which has a policy of its own; or nr is not one of these: what touches
 *	         mappings, tasks, signals or files stays closed
 *	others           as lych_attach
 *
 * Thread-safe. Not async-signal-safe.
 */
LYCH_API LYCH_MUST_CHECK int lych_domain_allow(struct lych_domain *domain, long nr);

/* Calls with one number that were refused to a domain. */
struct lych_refusal {
	long nr;
	bool foreign;   /* made as another architecture's: int 0x80, or with the x32 bit */
	uint64_t count;
	uint64_t rip;   /* after the instruction that made the last one. Hostile */
};

/*
 * lych_refused tells which calls were refused to domain since it was made: writes at most max entries to out, in
 * no particular order, and returns how many there are. At most 64 different ones are told apart; further ones are
 * left out. out may be NULL when max is 0. 0 for a NULL domain and on a thread that cannot attach. Thread-safe. Not
 * async-signal-safe.
 */
LYCH_API size_t lych_refused(struct lych_domain *domain, struct lych_refusal *out, size_t max);

/* "read"; NULL: no call that the runtime knows has this number. Static. Async-signal-safe. */
LYCH_API const char *lych_call_name(long nr);

/*
 * Can a policy allow this call to code in a domain of lych_open, or does each, as far as arguments are harmless? What is
 * false here is refused whatever the policy: code that needs it does not work in a library domain.
 * Async-signal-safe.
 */
LYCH_API bool lych_call_allowable(long nr);

/*
 * lych_policy_text writes the policy of a domain of lych_open as text, lychgate-policy(5), together with what a report
 * run has allowed beyond it so far: as the policy of the next run that allows the same. Files and directories that were
 * opened are named; what is in a directory that was, is not named again, nor a directory that was only passed on the
 * way. Names that no line can hold are left out, and a comment says so where more was opened than there is room for. As
 * snprintf: at most bytes, with a NUL when that is not 0; how long all of it is comes back. An empty text for a domain
 * that is NULL or not of lych_open.
 *
 * Thread-safe. Not async-signal-safe.
 */
LYCH_API size_t lych_policy_text(struct lych_domain *domain, char *out, size_t bytes);

LYCH_END_DECLS

#endif /* LYCHGATE_POLICY_H */
