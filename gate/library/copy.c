/* SPDX-License-Identifier: Apache-2.0 */
/* Copies between memory of the runtime and the arena, and system calls that use it, made by the kernel (library.h). */
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "../core/asm.h"
#include "library.h"

/*
 * The side in the arena is the remote one: what is not mapped with the rights for it is an error, whatever rights
 * this thread has, and keys do not matter, for all of it is the domain's.
 */
static bool copy(long nr, void *own, uint64_t at, uint64_t bytes)
{
	/* One call moves no more than some 2 GiB. */
	for (uint64_t done = 0; done < bytes;) {
		struct iovec local = {(char *)own + done, bytes - done}, remote = {(void *)(uintptr_t)(at + done), bytes - done};
		long n = sys6(nr, sys0(SYS_getpid), (long)&local, 1, (long)&remote, 1, 0);

		if (n <= 0) {
			return false;
		}
		done += (uint64_t)n;
	}
	return true;
}

/* PKRU does not say: a host that has opened keys of its own may have all rights, too. */
static bool in_lych_signal(void)
{
	uint64_t here = (uintptr_t)__builtin_frame_address(0), area = (uintptr_t)lych_tls;

	return here > area + AREA_STACK_LOW && here <= area + AREA_STACK_TOP;
}

long view_call(const long call[7])
{
	if (!is_pku()) {
		return sys6(call[0], call[1], call[2], call[3], call[4], call[5], call[6]);
	}
	return in_lych_signal() ? lych_view_call_monitor(call) : lych_view_call(call);
}

long inside_read(const struct library *l, void *to, uint64_t at, uint64_t bytes)
{
	if (!library_holds(l, at, bytes)) {
		return -EFAULT;
	}
	return bytes == 0 || copy(SYS_process_vm_readv, to, at, bytes) ? 0 : -EFAULT;
}

long inside_write(const struct library *l, uint64_t at, const void *from, uint64_t bytes)
{
	if (!library_holds(l, at, bytes)) {
		return -EFAULT;
	}
	return bytes == 0 || copy(SYS_process_vm_writev, (void *)(uintptr_t)from, at, bytes) ? 0 : -EFAULT;
}

long inside_text(const struct library *l, char *to, uint64_t at, size_t max)
{
	size_t used = 0;

	while (used < max) {
		/* To the end of the page: the next one may not be there, and need not be. */
		size_t room = LYCH_PAGE - at % LYCH_PAGE, n = room < max - used ? room : max - used;
		const char *end;

		if (inside_read(l, to + used, at, n) != 0) {
			return -EFAULT;
		}
		end = memchr(to + used, '\0', n);
		if (end != NULL) {
			return end - to;
		}
		used += n;
		at += n;
	}
	return -ENAMETOOLONG;
}
