/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way to a fault in a library domain, and names for it. Nobody inside is asked: which files are mapped where the arena
 * knows, and their headers, tables and symbols are read as they are in memory, bounded, and not believed (frames.h, object.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "../core/asm.h"
#include "../core/fault_slot.h"
#include "../core/keys.h"
#include "../core/thread.h"
#include "arena.h"
#include "frames.h"
#include "library.h"
#include "object.h"

/* Areas of one file, and holes in it. */
#define AREAS_BELOW 32
/* Each read is a system call. Far more than 32 frames, or the symbols of one file, need. */
#define MOST_READS 20000
#define LINE_BYTES 4352
/* Of the header of a file: it and its program headers, and the build id behind them. */
#define SAME_BYTES 1024
#define OWN_TITLE "/memfd:lychgate:"
#define DELETED " (deleted)"

struct inside {
	const struct library *library;
	unsigned int reads;
};

static bool read_inside(void *ctx, void *to, uint64_t at, size_t bytes)
{
	struct inside *i = ctx;

	return ++i->reads <= MOST_READS && inside_read(i->library, to, at, bytes) == 0;
}

/* *start: where its header is. */
static bool find_object(struct object *out, uint64_t *start, struct library *l, const struct frames_memory *m, uint64_t at)
{
	struct space_area areas[AREAS_BELOW];
	size_t n = arena_below(l, at, areas, AREAS_BELOW);

	for (size_t i = 0; i < n; i++) {
		if ((areas[i].prot & PROT_READ) != 0 && object_at(out, m, areas[i].start, at)) {
			*start = areas[i].start;
			return true;
		}
	}
	return false;
}

/* ---- frames ---------------------------------------------------------------------------------------------------------- */

/* rax rdx rcx rbx rsi rdi rbp rsp, as DWARF counts, of those of struct lych_fault */
static const uint8_t in_fault[8] = {0, 3, 2, 1, 4, 5, 6, 7};

static bool step(struct library *l, struct frames *f, const struct frames_memory *m)
{
	struct object object;
	uint64_t start;

	return find_object(&object, &start, l, m, f->reg[FRAMES_RIP] - (f->exact ? 0 : 1)) && object.code &&
	       object.eh_header != 0 && frames_step(f, m, object.eh_header);
}

/* A call of what is no code has come from there. */
static bool step_back(struct library *l, struct frames *f, const struct frames_memory *m)
{
	struct object object;
	uint64_t start, from;

	if (!read_inside(m->ctx, &from, f->reg[FRAMES_RSP], sizeof(from)) || from == 0 ||
	    !find_object(&object, &start, l, m, from - 1) || !object.code) {
		return false;
	}
	f->reg[FRAMES_RIP] = from;
	f->reg[FRAMES_RSP] += sizeof(from);
	f->exact = false;
	return true;
}

void library_backtrace(struct library *l, struct lych_fault *fault)
{
	struct inside inside = {.library = l};
	const struct frames_memory m = {read_inside, &inside};
	struct frames f = {.exact = true};
	uint64_t before;

	for (size_t i = 0; i < 16; i++) {
		f.reg[i] = fault->gpr[i < 8 ? in_fault[i] : i];
	}
	f.reg[FRAMES_RIP] = fault->rip;
	fault->nframes = 0;
	do {
		bool first = fault->nframes == 0;

		before = f.reg[FRAMES_RSP];
		fault->frames[fault->nframes++] = f.reg[FRAMES_RIP];
		if (!step(l, &f, &m) && !(first && step_back(l, &f, &m))) {
			break;
		}
		/* Elsewhere is the gate, where the domain's stack ends. A stack that does not go on upwards is a loop. */
	} while (fault->nframes < LYCH_FAULT_FRAMES && library_holds(l, f.reg[FRAMES_RIP], 1) && f.reg[FRAMES_RSP] > before);
}

bool library_is_stack_guard(struct library *l, uint64_t at, uint64_t sp)
{
	struct space_area guard, stack;

	/* Its guard is a mapping without rights below it, and the stack pointer not far from there. */
	return library_holds(l, at, 1) && arena_area(l, at, &guard) && at >= guard.start && guard.prot == PROT_NONE &&
	       sp - (guard.start - ARENA_GUARD) < guard.end + LYCH_PAGE - (guard.start - ARENA_GUARD) &&
	       arena_area(l, guard.end, &stack) && stack.start == guard.end && (stack.prot & PROT_WRITE) != 0;
}

/* ---- names ----------------------------------------------------------------------------------------------------------- */

/* The path in what fault_mapping_of gives, of the file that code was copied from, too; "": none. */
static char *path_in(char *line)
{
	char *path = strchr(line, '/');
	size_t n;

	if (path == NULL) {
		return line + strlen(line);
	}
	n = strlen(path);
	if (n > strlen(DELETED) && strcmp(path + n - strlen(DELETED), DELETED) == 0) {
		path[n - strlen(DELETED)] = '\0';
	}
	return strncmp(path, OWN_TITLE, strlen(OWN_TITLE)) == 0 ? path + strlen(OWN_TITLE) : path;
}

static bool path_of(uint64_t address, char line[LINE_BYTES], const char **path)
{
	*path = "";
	if (fault_mapping_of(address, line, LINE_BYTES)) {
		*path = path_in(line);
	}
	return (*path)[0] != '\0';
}

struct file {
	long fd;
	unsigned int reads;
};

static bool read_file(void *ctx, void *to, uint64_t at, size_t bytes)
{
	struct file *f = ctx;

	return ++f->reads <= MOST_READS && sys4(SYS_pread64, f->fd, to, bytes, at) == (long)bytes;
}

/* A function that is not exported has a name in the file only, where that is still the one which was loaded. */
static bool name_in_file(const char *path, const struct frames_memory *inside, uint64_t start, uint64_t vaddr,
			 char name[OBJECT_NAME_BYTES], uint64_t *into)
{
	struct file file = {.fd = sys4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0)};
	const struct frames_memory m = {read_file, &file};
	uint8_t here[SAME_BYTES], there[SAME_BYTES];
	struct stat st;
	bool found;

	if (file.fd < 0) {
		return false;
	}
	found = sys2(SYS_fstat, file.fd, &st) == 0 && S_ISREG(st.st_mode) && read_file(&file, there, 0, sizeof(there)) &&
		inside->read(inside->ctx, here, start, sizeof(here)) && memcmp(here, there, sizeof(here)) == 0 &&
		object_file_symbol(&m, vaddr, name, into);
	sys1(SYS_close, file.fd);
	return found;
}

static int where(struct library *l, uint64_t address, bool exact, char *out, size_t bytes)
{
	struct inside inside = {.library = l};
	const struct frames_memory m = {read_inside, &inside};
	uint64_t at = address - (exact ? 0 : 1), start, into, vaddr;
	char line[LINE_BYTES], name[OBJECT_NAME_BYTES];
	const char *path, *file;
	struct object o;

	if (!find_object(&o, &start, l, &m, at)) {
		return -ENOENT;
	}
	/* Of its code, since everything else may be of a snapshot meanwhile. */
	if (!path_of(at, line, &path)) {
		path_of(start, line, &path);
	}
	object_printable(line);
	file = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path[0] != '\0' ? path : "?";
	vaddr = address - o.base;
	if (object_symbol(&o, &m, at, name, &into) ||
	    (path[0] == '/' && name_in_file(path, &m, start, at - o.base, name, &into))) {
		snprintf(out, bytes, "%s+0x%llx in %s (0x%llx)", name, (unsigned long long)(into + address - at), file,
			 (unsigned long long)vaddr);
	} else {
		snprintf(out, bytes, "%s+0x%llx", file, (unsigned long long)vaddr);
	}
	return 0;
}

int library_where(const char *domain, uint64_t address, bool exact, char *out, size_t bytes)
{
	struct thread *self;
	int rc = -ENOENT;

	if (!ROOT.ready || thread_self(&self) != 0) {
		return -ENOENT;
	}
	monitor_lock();
	for (size_t i = 0; i < DOMAINS_MAX; i++) {
		const struct lych_domain *d = &ROOT.monitor->domains[i];

		/* Another one may be there now, of another name. */
		if (d->library != NULL && library_holds(d->library, address, 1) && strcmp(d->name, domain) == 0) {
			rc = where(d->library, address, exact, out, bytes);
			break;
		}
	}
	monitor_unlock();
	return rc;
}
