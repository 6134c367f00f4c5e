/* SPDX-License-Identifier: Apache-2.0 */
/* What the errors mean. liblychgate compiles this file, too, with LYCH_ERRORS_OF_THE_RUNTIME. */
#include <lychgate/error.h>

const char *lych_strerror(int err)
{
	/* Not -err: INT_MIN has no opposite. */
	switch (err > 0 ? -err : err) {
	case 0:
		return "no error";
	case -EINVAL:
		return "invalid argument";
	case -ENOMEM:
		return "out of memory";
	case -ENOENT:
		return "no such file or process";
	case -ESRCH:
		return "the process ended while it was read";
	case -EACCES:
		return "permission denied";
	case -EISDIR:
		return "is a directory";
	case -ENOTSUP:
#ifdef LYCH_ERRORS_OF_THE_RUNTIME
		return "not possible on this machine";
#else
		return "not a regular file";
#endif
	case -ENOEXEC:
#ifdef LYCH_ERRORS_OF_THE_RUNTIME
		return "code of the process could undo the protection";
#else
		return "neither ELF nor an archive of ELF files";
#endif
	case -EPROTOTYPE:
		return "ELF of another machine or class";
	case -ELIBBAD:
		return "a core file is not scanned";
	case -EBADMSG:
		return "broken headers";
	case -ENODATA:
		return "truncated";
	case -ESTALE:
		return "changed while it was read";
	case -EFBIG:
		return "larger than the limit";
	case -ETIMEDOUT:
		return "time limit reached";
	case -EIO:
		return "could not be read";
	case -ELOOP:
		return "too many symbolic links";
	case -ECANCELED:
		return "canceled";
	case -EFAULT:
		return "the domain faulted, or the memory is not the domain's";
	case -EOWNERDEAD:
		return "the domain has faulted before";
	case -ENOSPC:
		return "no protection key is left";
	case -EALREADY:
		return "already started";
	case -EBUSY:
		return "in use, or a thread does not answer";
	case -EPERM:
		return "not possible in a task that shares its thread area";
	case -E2BIG:
		return "too long";
	case -EAGAIN:
		return "code is loaded and unloaded all the time";
	case -ENOSYS:
		return "lych_init has not succeeded";
	case -EXFULL:
		return "calls nested too deep";
	default:
		return "unknown error";
	}
}
