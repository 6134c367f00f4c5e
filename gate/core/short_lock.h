/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lock in monitor memory, for short stretches: taken in lych_signal, too. Who waits gives up after about a second,
 * as the holder may itself be stopped in a handler of the host, and the monitor must not hang with all signals
 * blocked. A word: 0 free, 1 taken, 2 taken and somebody waits.
 */
#ifndef LYCH_SHORT_LOCK_H
#define LYCH_SHORT_LOCK_H

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>

#include "asm.h"

#define SHORT_LOCK_WAITS 1000 /* of a millisecond */

static inline bool short_lock(_Atomic uint32_t *lock)
{
	const struct timespec wait = {0, 1000000};

	for (unsigned int i = 0; i < 100; i++) {
		uint32_t expected = 0;

		if (atomic_compare_exchange_weak_explicit(lock, &expected, 1, memory_order_acquire,
							  memory_order_relaxed)) {
			return true;
		}
		__builtin_ia32_pause();
	}
	for (unsigned int i = 0; i < SHORT_LOCK_WAITS; i++) {
		if (atomic_exchange_explicit(lock, 2, memory_order_acquire) == 0) {
			return true;
		}
		sys4(SYS_futex, lock, FUTEX_WAIT_PRIVATE, 2, &wait);
	}
	return false;
}

static inline void short_unlock(_Atomic uint32_t *lock)
{
	if (atomic_exchange_explicit(lock, 0, memory_order_release) == 2) {
		sys3(SYS_futex, lock, FUTEX_WAKE_PRIVATE, 1);
	}
}

#endif /* LYCH_SHORT_LOCK_H */
