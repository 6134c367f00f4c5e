/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Code of a library domain (G3, G4): what code inside wants executable is copied to memory that no domain can write, looked at and
 * repaired there, and comes back through the door as a private mapping that nobody can write. The file it was read from may
 * change meanwhile or later: that is not what runs.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <lychgate/scan.h>

#include "../code/code.h"
#include "../core/asm.h"
#include "../core/keys.h"
#include "../core/signal.h"
#include "../core/why.h"
#include "arena.h"
#include "calls.h"
#include "library.h"

#define ROOM_BYTES ((uint64_t)64 << 10) /* for the trampolines of one mapping */
#define PATH_BYTES 256
#define PHDRS_MAX 64

static uint64_t round_up(uint64_t bytes)
{
	return (bytes + LYCH_PAGE - 1) & ~(uint64_t)(LYCH_PAGE - 1);
}

/* NULL: no memory. */
static struct lych_code_memo *memo(void)
{
	struct lych_code_memo *m;

	monitor_lock();
	m = ROOT.monitor->code;
	if (m == NULL) {
		m = monitor_alloc(sizeof(*m));
		if (m != NULL) {
			m->take = monitor_alloc;
			m->give = monitor_free;
			ROOT.monitor->code = m;
		}
	}
	monitor_unlock();
	return m;
}

/* [at, at + bytes), which is mapped, becomes the code that is in copy->content. */
static int admit(struct library *l, struct lych_code_copy *copy)
{
	long room;
	int rc = arena_code(l, copy->at, copy->bytes, PROT_READ | PROT_EXEC);

	if (rc != 0) {
		return rc;
	}
	room = arena_place(l, ROOM_BYTES, PROT_NONE, SPACE_TRAMPOLINES);
	/* Code, too, or a snapshot would take it for memory without rights and with nothing in it. */
	if (room > 0 && arena_code(l, (uint64_t)room, ROOM_BYTES, PROT_READ | PROT_EXEC) != 0) {
		arena_unplace(l, (uint64_t)room);
		room = 0;
	}
	if (room > 0) {
		copy->room = (uint64_t)room;
		copy->room_bytes = ROOM_BYTES;
	}
	copy->classes = LYCH_POLICY_DOMAIN;
	copy->key = ROOT.backend == LYCH_PKU ? (int)l->domain->key : -1;
	copy->memo = memo();
	copy->mode = LYCH_CODE_REPAIR;
	copy->tell = l->on_code;
	copy->ctx = l->tell_ctx;
	rc = lych_code_admit(copy);
	if (rc != 0) {
		arena_code_drop(l, copy->at, copy->bytes);
	} else {
		arena_code_done(l, copy->at);
	}
	if (room > 0 && (rc != 0 || copy->room_used == 0)) {
		arena_unplace(l, (uint64_t)room);
	}
	if (rc == -ENOEXEC) {
		l->refused_code = true;
	}
	if (l->on_file != NULL && copy->name[0] != '\0' && (rc == 0 || rc == -ENOEXEC)) {
		l->on_file(copy->name, copy->bytes, l->tell_ctx);
	}
	return rc;
}

int library_code_of(struct library *l, uint64_t at, const void *content, uint64_t bytes, const char *path, const void *file,
		    uint64_t file_bytes, uint64_t off)
{
	struct lych_code_copy copy = {.at = at,
				      .bytes = bytes,
				      .content = content,
				      .name = path,
				      .off = off,
				      .file = file,
				      .file_bytes = file_bytes};

	return admit(l, &copy);
}

/* As much of the file as there is; behind its end are zeros. -errno. */
static long read_file(long fd, uint8_t *to, uint64_t bytes, uint64_t off)
{
	uint64_t have = 0;

	while (have < bytes) {
		long n = sys4(SYS_pread64, fd, to + have, bytes - have, off + have);

		if (n == -EINTR) {
			continue;
		}
		if (n <= 0) {
			return n;
		}
		have += (uint64_t)n;
	}
	return 0;
}

static void path_of(long fd, char out[PATH_BYTES])
{
	char link[32] = "/proc/self/fd/";
	char digits[16];
	size_t n = 0, at = strlen(link);
	long bytes;

	do {
		digits[n++] = (char)('0' + fd % 10);
		fd /= 10;
	} while (fd > 0);
	while (n > 0) {
		link[at++] = digits[--n];
	}
	link[at] = '\0';
	bytes = sys4(SYS_readlinkat, AT_FDCWD, link, out, PATH_BYTES - 1);
	out[bytes > 0 ? bytes : 0] = '\0';
}

struct from_file {
	long fd;
	uint64_t off;
};

static int read_code(void *to, size_t bytes, void *ctx)
{
	const struct from_file *from = ctx;

	return (int)read_file(from->fd, to, bytes, from->off);
}

/*
 * How much of [off, off + bytes) of a file is to be code. A loader first maps everything from the first segment to the last with
 * the rights of the first, for the place, and then maps the others over it. Where the first is code (ld -z noseparate-code, gold,
 * whatever is older than 2018) that would make code of all of it, which goes only as a whole: so it is as long as the file says
 * that this segment is. All of it where the file does not say so. The file may lie: what is left out cannot run.
 */
static uint64_t code_bytes(long fd, uint64_t off, uint64_t bytes)
{
	Elf64_Ehdr h = {0};

	if (read_file(fd, (uint8_t *)&h, sizeof(h), 0) != 0 || memcmp(h.e_ident, ELFMAG, SELFMAG) != 0 ||
	    h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_phentsize != sizeof(Elf64_Phdr) || h.e_phoff > INT32_MAX) {
		return bytes;
	}
	for (uint64_t i = 0; i < h.e_phnum && i < PHDRS_MAX; i++) {
		Elf64_Phdr p = {0};
		uint64_t skipped;

		if (read_file(fd, (uint8_t *)&p, sizeof(p), h.e_phoff + i * sizeof(p)) != 0) {
			break;
		}
		skipped = p.p_offset % LYCH_PAGE;
		if (p.p_type == PT_LOAD && (p.p_flags & PF_X) != 0 && p.p_offset - skipped == off && p.p_filesz != 0 &&
		    p.p_filesz < bytes && round_up(skipped + p.p_filesz) < bytes) {
			return round_up(skipped + p.p_filesz);
		}
	}
	return bytes;
}

static int code_of_file(struct library *l, uint64_t at, uint64_t bytes, long fd, uint64_t off)
{
	struct from_file from = {fd, off};
	char path[PATH_BYTES];
	struct lych_code_copy copy = {.at = at, .bytes = bytes, .read = read_code, .read_ctx = &from, .name = path, .off = off};
	struct stat st;
	void *file = MAP_FAILED;
	int rc;

	path_of(fd, path);
	/* Only the child that plans looks at it, or what is kept for the next plan: what changes there can mislead nobody else. */
	if (sys2(SYS_fstat, fd, &st) == 0 && st.st_size > 0) {
		file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, (int)fd, 0);
	}
	if (file != MAP_FAILED) {
		copy.file = file;
		copy.file_bytes = (uint64_t)st.st_size;
	}
	rc = admit(l, &copy);
	if (file != MAP_FAILED) {
		munmap(file, (size_t)st.st_size);
	}
	return rc;
}

/* No file's: zeros, which the domain may want as well as anybody. */
static int code_of_nothing(struct library *l, uint64_t at, uint64_t bytes)
{
	uint8_t *content = monitor_alloc(bytes);
	int rc = content != NULL ? library_code_of(l, at, content, bytes, "", NULL, 0, 0) : -ENOMEM;

	monitor_free(content, bytes);
	return rc;
}

/* What code inside gets told. */
static long inside_error(long rc)
{
	switch (rc) {
	case -ENOEXEC:
	case -EOPNOTSUPP:
		return -EACCES;
	case -EAGAIN:
	case -EFAULT: /* it has changed meanwhile, or is a file's that has become shorter */
		return -ENOMEM;
	default:
		return rc;
	}
}

static long map_code(struct library *l, uint64_t at, uint64_t bytes, uint64_t prot, uint64_t flags, long fd, uint64_t off)
{
	long rc;

	if ((prot & PROT_WRITE) != 0) {
		return -EACCES;
	}
	if (bytes == 0 || bytes > ARENA_CODE || off % LYCH_PAGE != 0) {
		return bytes == 0 || off % LYCH_PAGE != 0 ? -EINVAL : -ENOMEM;
	}
	bytes = round_up(bytes);
	rc = arena_mmap(l, at, bytes, PROT_READ, flags, fd, off);
	if (rc < 0) {
		return rc;
	}
	at = (uint64_t)rc;
	rc = fd < 0 ? code_of_nothing(l, at, bytes) : code_of_file(l, at, code_bytes(fd, off, bytes), fd, off);
	if (rc != 0) {
		arena_munmap(l, at, bytes);
		return inside_error(rc);
	}
	return (long)at;
}

struct from_arena {
	const struct library *l;
	uint64_t at;
};

static int read_arena(void *to, size_t bytes, void *ctx)
{
	const struct from_arena *from = ctx;

	return (int)inside_read(from->l, to, from->at, bytes);
}

/* Is [at, end) mapped so that code inside may read it? */
static bool is_readable(struct library *l, uint64_t at, uint64_t end)
{
	struct space_area area;

	while (at < end) {
		if (!arena_area(l, at, &area) || area.start > at || (area.prot & PROT_READ) == 0) {
			return false;
		}
		at = area.end;
	}
	return true;
}

/*
 * Read when it is its turn, as it is one copy at a time that is looked at: how much memory of the host's that takes is then not for
 * the number of threads inside to say.
 */
static long protect_code(struct library *l, uint64_t at, uint64_t bytes, uint64_t prot)
{
	struct from_arena from = {l, at};
	struct lych_code_copy copy = {.at = at, .read = read_arena, .read_ctx = &from, .name = ""};
	struct space_area area;

	if ((prot & PROT_WRITE) != 0) {
		return -EACCES;
	}
	bytes = round_up(bytes);
	if (at % LYCH_PAGE != 0 || bytes == 0 || bytes > ARENA_CODE || !library_holds(l, at, bytes)) {
		return at % LYCH_PAGE != 0 ? -EINVAL : bytes == 0 ? 0 : -ENOMEM;
	}
	/* It is code, and stays that: dlopen does this to what it has changed for text relocations, and to no effect. */
	if (arena_area(l, at, &area) && area.start <= at && area.end >= at + bytes && (area.flags & SPACE_CODE) != 0) {
		return arena_mprotect(l, at, bytes, prot);
	}
	if (!is_readable(l, at, at + bytes)) {
		return -ENOMEM;
	}
	copy.bytes = bytes;
	return inside_error(admit(l, &copy));
}

long library_code(struct library *l, uint64_t at, uint64_t bytes, uint64_t prot, uint64_t flags, long real_fd, uint64_t offset)
{
	/* Nobody could give back what a handler of the host that leaves by siglongjmp would leave behind. */
	uint64_t most = ~SIGNALS_SIX & ~SIGNAL_BIT(SIGNAL_KICK), mask = 0;
	long rc;

	sys4(SYS_rt_sigprocmask, SIG_BLOCK, &most, &mask, sizeof(mask));
	rc = (flags & LIBRARY_CODE_PROTECT) != 0 ? protect_code(l, at, bytes, prot)
						 : map_code(l, at, bytes, prot, flags, real_fd, offset);
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask));
	return rc;
}
