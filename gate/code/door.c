/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door to PROT_EXEC: nothing else in the project asks for it. What comes through was finished before, and is never
 * written while it is executable: a page is either the old one or the new one, in whole.
 *
 * A sealed file in memory, mapped privately, is what kernels and policies allow that forbid making written memory
 * executable (PR_SET_MDWE, SELinux's execmem). Where such files may not be executable (vm.memfd_noexec), or not be at all (no
 * memfd_create, RLIMIT_FSIZE), anonymous memory is written, made executable elsewhere and moved into its place.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <linux/memfd.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "../core/asm.h"
#include "../core/why.h"
#include "parts.h"

/* Newer than the headers of some systems this is built on. */
#define MFD_EXEC_FLAG 0x10U
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define SEAL_EXEC 0x20
#define NO_REPLACE 0x100000
#define NAME_BYTES 200

static long map_pages(uint64_t at, size_t bytes, int prot, int flags, long fd, uint64_t off)
{
	return sys6(SYS_mmap, (long)at, (long)bytes, prot, MAP_PRIVATE | flags, fd, (long)off);
}

/* MAP_FIXED_NOREPLACE is a hint to kernels that do not know it (before 4.17). */
static long placed(long got, uint64_t at, size_t bytes)
{
	if (got >= 0 && (uint64_t)got != at) {
		sys2(SYS_munmap, got, bytes);
		return -EEXIST;
	}
	return got;
}

static long write_all(long fd, const char *content, size_t bytes, uint64_t off)
{
	while (bytes > 0) {
		long n = sys4(SYS_pwrite64, fd, content, bytes, off);

		if (n == -EINTR) {
			continue;
		}
		if (n <= 0) {
			return n < 0 ? n : -ENOSPC;
		}
		content += n;
		off += (uint64_t)n;
		bytes -= (size_t)n;
	}
	return 0;
}

/* Where a limit (RLIMIT_FSIZE) says that files are smaller: -EFBIG, and not the signal that would end the process. */
static long write_unsignaled(long fd, const char *content, size_t bytes, uint64_t off)
{
	const uint64_t xfsz = UINT64_C(1) << (SIGXFSZ - 1);
	const struct timespec now = {0};
	uint64_t before = 0, pending = 0;
	long rc;

	sys4(SYS_rt_sigprocmask, SIG_BLOCK, &xfsz, &before, sizeof(before));
	sys2(SYS_rt_sigpending, &pending, sizeof(pending));
	rc = write_all(fd, content, bytes, off);
	if (rc == -EFBIG && (pending & xfsz) == 0) {
		sys4(SYS_rt_sigtimedwait, &xfsz, NULL, &now, sizeof(xfsz));
	}
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof(before));
	return rc;
}

/* The content at off of the file, as it was in the one it was made from: that is where debuggers and scanners look. */
static long sealed_file(const void *content, size_t bytes, const char *name, uint64_t off)
{
	char title[NAME_BYTES] = "lychgate:";
	size_t len = strlen(title), room = sizeof(title) - len - 1, name_len = strlen(name);
	long fd, rc;

	/* The end of a path says more than its beginning; but it is no path (scanner/process.h). */
	if (name_len > room) {
		memcpy(title + len, "...", 3);
		len += 3;
		room -= 3;
	}
	strcpy(title + len, name_len > room ? name + (name_len - room) : name);
	fd = sys2(SYS_memfd_create, title, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC_FLAG);
	if (fd == -EINVAL) {
		fd = sys2(SYS_memfd_create, title, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	}
	if (fd < 0) {
		return fd;
	}
	rc = write_unsignaled(fd, content, bytes, off);
	if (rc == 0) {
		rc = sys3(SYS_fcntl, fd, F_ADD_SEALS, SEALS | SEAL_EXEC);
	}
	if (rc == -EINVAL) {
		rc = sys3(SYS_fcntl, fd, F_ADD_SEALS, SEALS);
	}
	if (rc != 0) {
		sys1(SYS_close, fd);
		return rc;
	}
	return fd;
}

static long open_by_file(uint64_t at, const void *content, size_t bytes, int fixed, const char *name, uint64_t off)
{
	long fd = sealed_file(content, bytes, name, off), got;

	if (fd < 0) {
		return fd;
	}
	got = placed(map_pages(at, bytes, PROT_READ | PROT_EXEC, fixed, fd, off), at, bytes);
	sys1(SYS_close, fd);
	return got < 0 ? got : 0;
}

static long open_by_move(uint64_t at, const void *content, size_t bytes, bool fresh)
{
	long there = map_pages(fresh ? at : 0, bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | (fresh ? NO_REPLACE : 0), -1, 0);
	long rc;

	there = fresh ? placed(there, at, bytes) : there;
	if (there < 0) {
		return there;
	}
	memcpy((void *)there, content, bytes);
	rc = sys3(SYS_mprotect, there, bytes, PROT_READ | PROT_EXEC);
	if (rc == 0 && !fresh) {
		rc = sys5(SYS_mremap, there, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, at);
	}
	if (rc < 0) {
		sys2(SYS_munmap, there, bytes);
		return rc;
	}
	return 0;
}

int door_open(uint64_t at, const void *content, size_t bytes, bool fresh, const char *name, uint64_t off)
{
	long first = open_by_file(at, content, bytes, fresh ? NO_REPLACE : MAP_FIXED, name, off), second;

	if (first == 0 || first == -EEXIST) {
		return (int)first;
	}
	second = open_by_move(at, content, bytes, fresh);
	if (second == 0 || second == -EEXIST || second == -ENOMEM) {
		return (int)second;
	}
	why_set("sandbox: neither a sealed file (error %ld) nor memory that was written (error %ld) may become executable: "
		"allow one of them", -first, -second);
	return -EOPNOTSUPP;
}

/* ---- code of domains --------------------------------------------------------------------------------------------- */

static long protect(uint64_t at, size_t bytes, int prot, int key)
{
	return key < 0 ? sys3(SYS_mprotect, at, bytes, prot) : sys4(SYS_pkey_mprotect, at, bytes, prot, key);
}

void door_withdraw(uint64_t at, size_t bytes, int key)
{
	if (map_pages(at, bytes, PROT_NONE, MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) >= 0 && key >= 0) {
		(void)protect(at, bytes, PROT_NONE, key);
	}
}

/* Readable memory with the content, somewhere; *fd: its file, or -1 for memory without. */
static long bring(long *fd, const void *content, size_t bytes, const char *name, uint64_t off)
{
	long there;

	*fd = sealed_file(content, bytes, name, off);
	if (*fd >= 0) {
		return map_pages(0, bytes, PROT_READ, 0, *fd, off);
	}
	there = map_pages(0, bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS, -1, 0);
	if (there >= 0) {
		memcpy((void *)there, content, bytes);
	}
	return there;
}

static long put(uint64_t at, const void *content, size_t bytes, int key, const char *name, uint64_t off, long *fd)
{
	long there = bring(fd, content, bytes, name, off), rc;

	if (there < 0) {
		return there;
	}
	rc = protect((uint64_t)there, bytes, PROT_READ, key);
	if (rc == 0) {
		rc = sys5(SYS_mremap, there, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, at);
	}
	if (rc < 0) {
		sys2(SYS_munmap, there, bytes);
		/* What was there is still there, or the place is free, and must not be for others. */
		if (placed(map_pages(at, bytes, PROT_NONE, MAP_ANONYMOUS | MAP_NORESERVE | NO_REPLACE, -1, 0), at, bytes) >= 0 &&
		    key >= 0) {
			(void)protect(at, bytes, PROT_NONE, key);
		}
		return rc;
	}
	return 0;
}

/* A process that may not make memory executable later (PR_SET_MDWE) may map it so. */
static long let_execute(const struct repair_area *part, int key, long fd, uint64_t off)
{
	size_t bytes = part->end - part->start;
	long rc = protect(part->start, bytes, PROT_READ | PROT_EXEC, key), got;

	if (rc != -EACCES || fd < 0) {
		return rc;
	}
	got = map_pages(part->start, bytes, PROT_READ | PROT_EXEC, MAP_FIXED, fd, off);
	return got < 0 ? got : key < 0 ? 0 : protect(part->start, bytes, PROT_READ | PROT_EXEC, key);
}

int door_put(uint64_t at, const void *content, size_t bytes, int key, const struct repair_area *parts, size_t nparts,
	     const char *name, uint64_t off)
{
	long fd, rc = put(at, content, bytes, key, name, off, &fd);
	bool there = rc == 0;

	for (size_t i = 0; rc == 0 && i < nparts; i++) {
		rc = let_execute(&parts[i], key, fd, off + (parts[i].start - at));
	}
	if (fd >= 0) {
		sys1(SYS_close, fd);
	}
	if (rc == 0) {
		return 0;
	}
	if (there) {
		door_withdraw(at, bytes, key);
	}
	if (rc == -ENOMEM) {
		return -ENOMEM;
	}
	why_set("sandbox: code of a domain may not become executable under its key (error %ld): allow mremap, memfd_create and "
		"pkey_mprotect with PROT_EXEC", -rc);
	return -EOPNOTSUPP;
}

void door_close(uint64_t at, size_t bytes)
{
	sys2(SYS_munmap, at, bytes);
}

int door_shut(uint64_t start, uint64_t end)
{
	return sys3(SYS_mprotect, start, end - start, PROT_READ) == 0 ? 0 : -ENOMEM;
}

/* Where the kernel has no such command, the change of the page tables interrupted every processor, too. */
void door_settle(void)
{
	sys3(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0);
	sys3(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0);
}

int lych_code_show(uint64_t start, uint64_t end, int key)
{
	return sys4(SYS_pkey_mprotect, start, end - start, PROT_READ | PROT_EXEC, key) == 0 ? 0 : -ENOMEM;
}
