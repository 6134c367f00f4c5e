/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inherited floor. Syscall User Dispatch tells views apart and does not survive clone, fork and exec; a seccomp
 * filter survives them and cannot tell views apart. As long as the host is trusted, the floor therefore refuses only
 * what nobody here has a use for: calls by the i386 entry (int 0x80, or from compatibility mode) and of the x32
 * table. Whoever makes one is killed with the process, as code of a domain that got to an undispatched thread would be.
 *
 * The vsyscall page (absent in most kernels of today) is emulated by the kernel without dispatch. What it answers is
 * time and the CPU's number, written with the rights of whoever asks, so it gives a domain nothing.
 *
 * no_new_privs comes with it: programs the host executes gain no privileges from set-user-ID bits.
 */
#include <seccomp.h>

#include "../core/why.h"
#include "mediator.h"

/*
 * In ordinary memory: code in a domain can only have it installed a second time, as it is set before there is any.
 */
static _Atomic bool installed;

int floor_start(void)
{
	if (atomic_load(&installed)) {
		return 0;
	}
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	if (ctx == NULL) {
		why_set("process: no memory for the seccomp filter below the domains: give it more");
		return -EOPNOTSUPP;
	}
	int rc = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (rc == 0) {
		rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 1);
	}
	if (rc == 0) {
		rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	}
	if (rc == 0) {
		rc = seccomp_load(ctx);
	}
	seccomp_release(ctx);
	if (rc != 0) {
		why_set("sandbox: the seccomp filter below the domains is refused (errno %d): make the first domain "
			"before any thread takes a filter of its own",
			rc < 0 ? -rc : rc);
		return -EOPNOTSUPP;
	}
	atomic_store(&installed, true);
	return 0;
}
