/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every function of Lychgate that can fail returns 0 or one of the negative errno values below.
 * The list is closed: it is part of the interface, a new value is a new release.
 *
 *	-EINVAL      an argument is out of range, or an options struct has size 0; or it is no domain (any more), no
 *	             live block
 *	-ENOMEM      memory could not be allocated
 *	-ENOENT      the file or process does not exist (any more)
 *	-ESRCH       the process ended while it was read
 *	-EACCES      permission to read was refused (EPERM is reported as EACCES); or the vault may not be entered at
 *	             that function, or nothing is copied out of it or shared with it
 *	-EISDIR      a directory where a file is wanted
 *	-ENOTSUP     not a regular file (FIFO, device, socket), or a thin archive
 *	-ENOEXEC     neither ELF nor an archive of ELF files; or code of the process could undo the protection
 *	-EPROTOTYPE  an ELF file of another machine or class (ELF32, x32, big-endian, aarch64...)
 *	-ELIBBAD     a core file: it is not code that anybody will load
 *	-EBADMSG     the headers contradict themselves; no loader would accept the file as it stands
 *	-ENODATA     truncated: the headers promise bytes that the file does not have
 *	-ESTALE      the file changed while it was read
 *	-EFBIG       larger than the limit given
 *	-ETIMEDOUT   the time limit given was reached
 *	-EIO         the kernel could not read the bytes
 *	-ELOOP       too many symbolic links
 *	-ECANCELED   a callback asked to stop, or the call into the domain was canceled
 *	-EOPNOTSUPP  (equal to -ENOTSUP on Linux) this machine cannot do it
 *	-EFAULT      the call into the domain did not end as it should (lych_fault says how); or memory is
 *	             not the domain's
 *	-EOWNERDEAD  the domain has faulted before: reset or free it
 *	-ENOSPC      no protection key is left
 *	-EALREADY    it has been started
 *	-EBUSY       in use: by a call the caller itself is inside, an open scope, a grant or a share; or a thread does
 *	             not answer
 *	-EPERM       this task may not: it shares its thread area with another (CLONE_VM), or no fork handler has seen
 *	             it
 *	-E2BIG       longer than the limit given
 *	-EXFULL      calls are nested too deep
 *	-EAGAIN      code is loaded and unloaded all the time by other threads
 *	-ENOSYS      lych_init has not been called, or did not succeed
 */
#ifndef LYCHGATE_ERROR_H
#define LYCHGATE_ERROR_H

#include <errno.h>

#include <lychgate/base.h>

LYCH_BEGIN_DECLS

/*
 * lych_strerror says what a value returned by a function of this library means, in one clause
 * without a full stop. err may be negative or positive. The string is static. Thread-safe,
 * async-signal-safe. A value outside the list gives "unknown error".
 */
LYCH_API const char *lych_strerror(int err);

LYCH_END_DECLS

#endif /* LYCHGATE_ERROR_H */
