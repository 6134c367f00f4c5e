/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of an arena that a reset goes back to.
 *
 * What is in memory is kept in a sealed file in memory, which is then mapped instead, copy-on-write: going back is
 * mapping it again. Pages of zeros are not kept. Code is not: what is code when the snapshot is taken becomes fixed,
 * so code inside can never unmap it again (dlclose of a library that was there before leaves its code behind), and
 * code that comes later goes. Files' pages are kept like others, so neither the file nor a descriptor of it matters
 * any more.
 */
#ifndef LYCH_LIBRARY_SNAPSHOT_H
#define LYCH_LIBRARY_SNAPSHOT_H

#include "../core/hidden.h"

#ifdef __cplusplus
extern "C" {
#endif

struct library;

/*
 * Both: nobody is inside, and nobody gets in meanwhile. Not async-signal-safe.
 *
 * snapshot_take: replaces the snapshot there was. The arena reads as before. 0; -ENOMEM; -EOPNOTSUPP: files in memory
 * are refused (lych_why); -EAGAIN: the arena's lock. Nothing has changed then, unless the domain is poisoned: see
 * below.
 *
 * snapshot_restore: the arena is as it was then, the break and what arena_place had placed included; what that placed
 * later is gone, too. 0; -EINVAL: none was taken; -ENOENT: somebody has closed our descriptor (lych_why), nothing has
 * changed; -ENOMEM.
 *
 * Either: when the kernel has no memory in the midst of it, -ENOMEM. Then the domain is poisoned, and what its memory
 * holds is undefined; it has its key. snapshot_restore may be tried again.
 */
LYCH_HIDDEN int snapshot_take(struct library *l);
LYCH_HIDDEN int snapshot_restore(struct library *l);

#ifdef __cplusplus
}
#endif

#endif /* LYCH_LIBRARY_SNAPSHOT_H */
