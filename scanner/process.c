/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "process.h"

#define PAGE UINT64_C(4096)
#define VSYSCALL_ADDR UINT64_C(0xffffffffff600000)
/* A line holds a path of at most 4095 bytes, each at most 4 after escaping. */
#define LINE_ROOM (64u * 1024)
#define NAMES_MAX (8u * 1024 * 1024)
#define PAGEMAP_BATCH 4096u
/* Mappings of files that are smaller are read whole, holes or not. */
#define HOLES_FROM (UINT64_C(16) << 20)
#define PAGEMAP_STEP (UINT64_C(1) << 26) /* pages looked at in one call: 256 GiB, half a second */

static ssize_t read_again(int fd, void *buf, size_t len)
{
	ssize_t n;

	do {
		n = read(fd, buf, len);
	} while (n < 0 && errno == EINTR);
	return n;
}

/*
 * Calls fn for each executable mapping, ascending and without overlaps: each read of maps is
 * consistent in itself, but between two of them a mapping can grow, so that its rest comes again.
 * *lines counts mappings of any kind. Returns 0, what fn returned when not 0, -ENOMEM, -EIO,
 * -ESRCH.
 */
static int each_executable(int fd, size_t *lines, bool *malformed,
			   int (*fn)(void *ctx, const struct mapping *m), void *ctx)
{
	char *buf = malloc(LINE_ROOM + 1);
	uint64_t last_end = 0;
	size_t have = 0;
	bool skip = false;
	int rc = 0;

	*lines = 0;
	if (buf == NULL) {
		return -ENOMEM;
	}
	if (lseek(fd, 0, SEEK_SET) < 0) {
		rc = file_error(errno);
		goto out;
	}
	for (;;) {
		ssize_t n = read_again(fd, buf + have, LINE_ROOM - have);
		char *line = buf, *end;

		if (n < 0) {
			rc = file_error(errno);
			break;
		}
		have += (size_t)n;
		if (n == 0 && have == 0) {
			break;
		}
		if (n == 0 || (have == LINE_ROOM && memchr(buf, '\n', have) == NULL)) {
			/* The last line without its end, or one longer than any: what is there
			 * counts. */
			buf[have++] = '\n';
		}
		while ((end = memchr(line, '\n', have - (size_t)(line - buf))) != NULL) {
			struct mapping m;

			*end = '\0';
			(*lines)++;
			if (skip) {
				skip = false;
			} else if (!mapping_parse(&m, line)) {
				*malformed = true;
			} else if (m.executable && m.end > last_end) {
				if (m.start < last_end) {
					m.off += last_end - m.start;
					m.start = last_end;
				}
				last_end = m.end;
				rc = fn(ctx, &m);
				if (rc != 0) {
					goto out;
				}
			}
			/* What follows of a line that was too long is not a line. */
			skip = (size_t)(end - buf) == LINE_ROOM;
			line = end + 1;
		}
		have -= (size_t)(line - buf);
		memmove(buf, line, have);
	}
out:
	free(buf);
	return rc;
}

static bool starts_with(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

static enum process_kind kind_of(const struct mapping *m)
{
	if (m->inode == 0 && m->path[0] == '[') {
		/* Names in brackets without an inode are the kernel's; a program can only choose
		 * [anon:...]. */
		if (strcmp(m->path, "[vdso]") == 0) {
			return PROCESS_VDSO;
		}
		if (strcmp(m->path, "[vsyscall]") == 0 && m->start == VSYSCALL_ADDR) {
			return PROCESS_VSYSCALL;
		}
		if (starts_with(m->path, "[anon") || starts_with(m->path, "[stack") ||
		    strcmp(m->path, "[heap]") == 0) {
			return m->shared ? PROCESS_OTHER : PROCESS_ANON;
		}
		return PROCESS_OTHER;
	}
	if (m->deleted) {
		return PROCESS_DELETED;
	}
	if (m->path[0] == '/') {
		return PROCESS_FILE;
	}
	return m->path[0] == '\0' && m->inode == 0 && !m->shared ? PROCESS_ANON : PROCESS_OTHER;
}

/* Stores a path, once for neighbours that have the same. Offset 0 is "". */
static int keep_name(struct process *p, uint32_t *out, const char *path)
{
	size_t len = strlen(path) + 1;

	*out = 0;
	if (len == 1) {
		return 0;
	}
	if (p->count > 0 && strcmp(p->names + p->items[p->count - 1].name, path) == 0) {
		*out = p->items[p->count - 1].name;
		return 0;
	}
	if (len > NAMES_MAX - p->names_len) {
		p->names_lost = true;
		return 0;
	}
	if (len > p->names_room - p->names_len) {
		size_t room = p->names_room * 2 + len;
		char *grown = realloc(p->names, room);

		if (grown == NULL) {
			return -ENOMEM;
		}
		p->names = grown;
		p->names_room = room;
	}
	memcpy(p->names + p->names_len, path, len);
	*out = (uint32_t)p->names_len;
	p->names_len += len;
	return 0;
}

static int keep_mapping(void *ctx, const struct mapping *m)
{
	struct process *p = ctx;
	struct process_mapping *item;
	uint32_t name;
	int rc;

	if (p->count == PROCESS_MAPPINGS_MAX) {
		p->too_many = true;
		return 0;
	}
	/* Grown to each power of two. */
	if ((p->count & (p->count - 1)) == 0) {
		size_t room = p->count == 0 ? 1 : p->count * 2;
		struct process_mapping *grown = realloc(p->items, room * sizeof(*grown));

		if (grown == NULL) {
			return -ENOMEM;
		}
		p->items = grown;
	}
	rc = keep_name(p, &name, m->path);
	if (rc != 0) {
		return rc;
	}
	item = &p->items[p->count];
	*item = (struct process_mapping){
		.start = m->start,
		.end = m->end,
		.off = m->off,
		.dev = m->dev,
		.inode = m->inode,
		.name = name,
		.kind = (uint8_t)kind_of(m),
		.readable = m->readable,
		.writable = m->writable,
		.shared = m->shared,
		.joins = p->count > 0 && p->items[p->count - 1].end == m->start,
	};
	p->count++;
	return 0;
}

enum task { TASK_LIVE, TASK_ENDED, TASK_KERNEL };

/* What /proc/PID/stat says, whose fields behind the command's name are: state, five numbers, flags.
 */
static enum task task_of(int dir)
{
	const unsigned long pf_exiting = 0x4, pf_kthread = 0x200000; /* include/linux/sched.h */
	unsigned long flags;
	char buf[512];
	const char *p;
	char state;
	ssize_t n;
	int fd = openat(dir, "stat", O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		return TASK_ENDED;
	}
	n = read_again(fd, buf, sizeof(buf) - 1);
	close(fd);
	if (n <= 0) {
		return TASK_ENDED;
	}
	buf[n] = '\0';
	p = strrchr(buf,
		    ')'); /* the name can hold anything; the fields behind it cannot hold this */
	if (p == NULL || sscanf(p + 1, " %c %*d %*d %*d %*d %*d %lu", &state, &flags) != 2) {
		return TASK_ENDED;
	}
	if (flags & pf_kthread) {
		return TASK_KERNEL;
	}
	/* The memory of a task goes before it becomes a zombie. */
	return state == 'Z' || state == 'X' || (flags & pf_exiting) ? TASK_ENDED : TASK_LIVE;
}

static int open_in(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);

	/* The directory was there a moment ago. */
	return fd >= 0 ? fd : errno == ENOENT ? -ESRCH : file_error(errno);
}

/*
 * Opens and reads what dir, which becomes p's, has. A task without memory gives -ESRCH on newer
 * kernels, 0 and no mapping of any kind in *lines on older ones. On an error dir is closed.
 */
static int read_task(struct process *p, int dir, size_t *lines)
{
	int rc;

	p->dir = dir;
	p->names_len = 1;
	*lines = 0;
	p->maps = open_in(dir, "maps");
	if (p->maps < 0) {
		rc = p->maps;
		goto fail;
	}
	p->mem = open_in(dir, "mem");
	if (p->mem < 0) {
		rc = p->mem;
		goto fail;
	}
	p->pagemap = openat(dir, "pagemap", O_RDONLY | O_CLOEXEC);
	p->names_room = 4096;
	p->names = calloc(1, p->names_room);
	if (p->names == NULL) {
		rc = -ENOMEM;
		goto fail;
	}
	rc = each_executable(p->maps, lines, &p->malformed, keep_mapping, p);
	if (rc == 0) {
		return 0;
	}
fail:
	process_close(p);
	return rc;
}

static void process_clear(struct process *p, pid_t pid)
{
	memset(p, 0, sizeof(*p));
	p->pid = pid;
	p->dir = p->maps = p->mem = p->pagemap = -1;
}

/* The first thread may have ended before the others; the memory is the same for all of them. */
static int read_other_thread(struct process *p, int dir)
{
	int fd = openat(dir, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	DIR *tasks;
	int rc = -ESRCH;

	if (fd < 0) {
		return -ESRCH;
	}
	tasks = fdopendir(fd);
	if (tasks == NULL) {
		close(fd);
		return -ENOMEM;
	}
	while (rc == -ESRCH && (entry = readdir(tasks)) != NULL) {
		size_t lines;
		int task;

		if (entry->d_name[0] == '.') {
			continue;
		}
		task = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (task < 0) {
			continue;
		}
		if (task_of(task) != TASK_LIVE) {
			close(task);
			continue;
		}
		process_clear(p, p->pid);
		rc = read_task(p, task, &lines);
		if (rc == 0 && lines == 0) {
			process_close(p);
			rc = -ESRCH;
		}
	}
	closedir(tasks);
	return rc;
}

int process_open(struct process *p, pid_t pid)
{
	char path[32];
	size_t lines;
	int dir, again, rc;

	process_clear(p, pid);
	if (pid <= 0) {
		return -EINVAL;
	}
	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0) {
		return file_error(errno);
	}
	again = fcntl(dir, F_DUPFD_CLOEXEC, 0);
	if (again < 0) {
		close(dir);
		return -ENOMEM;
	}
	rc = read_task(p, dir, &lines);
	if ((rc == 0 && lines == 0) || rc == -ESRCH || rc == -EACCES) {
		enum task task = task_of(again);

		/* Without memory, be it a zombie or a kernel thread, only root is let in: that is
		 * no refusal. */
		if (task != TASK_LIVE || rc != -EACCES) {
			process_close(p);
			process_clear(p, pid);
			if (task == TASK_KERNEL) {
				p->dir = again; /* there is nothing to scan */
				return 0;
			}
			rc = read_other_thread(p, again);
		}
	}
	close(again);
	return rc;
}

static void close_if_open(int *fd)
{
	if (*fd >= 0) {
		close(*fd);
	}
	*fd = -1;
}

void process_close(struct process *p)
{
	close_if_open(&p->dir);
	close_if_open(&p->maps);
	close_if_open(&p->mem);
	close_if_open(&p->pagemap);
	free(p->items);
	free(p->names);
	p->items = NULL;
	p->names = NULL;
	p->count = p->names_len = p->names_room = 0;
}

struct source process_source(const struct process *p)
{
	/* The kernel takes offsets of this file as unsigned; user space ends at 2^47 or 2^56. */
	return source_from_fd(p->mem, 0, UINT64_MAX);
}

int process_gone(const struct process *p)
{
	char byte;

	if (p->maps < 0 || pread(p->maps, &byte, 1, 0) == 1) {
		return 0;
	}
	return task_of(p->dir) == TASK_LIVE ? -ESTALE : -ESRCH;
}

const char *process_path(const struct process *p, const struct process_mapping *m)
{
	return p->names + m->name;
}

/* The first stretch of [from, end) that this process has in memory or in swap; an empty one where looking
 * ended before end. */
static bool next_populated(const struct process *p, uint64_t from, uint64_t end,
			   uint64_t *out_start, uint64_t *out_end)
{
	const uint64_t present_or_swapped = UINT64_C(3) << 62;
	uint64_t entries[PAGEMAP_BATCH];
	uint64_t last = end / PAGE;
	bool found = false;

	*out_start = from;
	*out_end = end;
	if (last - from / PAGE > PAGEMAP_STEP) {
		last = from / PAGE + PAGEMAP_STEP;
	}
	for (uint64_t page = from / PAGE; page < last;) {
		uint64_t want = last - page;
		ssize_t n;

		want = want < PAGEMAP_BATCH ? want : PAGEMAP_BATCH;
		n = pread(p->pagemap, entries, want * sizeof(entries[0]),
			  (off_t)(page * sizeof(entries[0])));
		if (n < (ssize_t)sizeof(entries[0])) {
			/* Not to be had after all: everything from here on counts. */
			if (!found && page * PAGE > from) {
				*out_start = page * PAGE;
			}
			return true;
		}
		for (size_t i = 0; i < (size_t)n / sizeof(entries[0]); i++, page++) {
			bool data = (entries[i] & present_or_swapped) != 0;

			if (data && !found) {
				found = true;
				*out_start = page * PAGE > from ? page * PAGE : from;
			} else if (!data && found) {
				*out_end = page * PAGE;
				return true;
			}
		}
	}
	if (last * PAGE < end) {
		*out_start = found ? *out_start : last * PAGE;
		*out_end = last * PAGE;
		return true;
	}
	return found;
}

/* The first stretch at or above from where the file behind m is no hole. */
static bool next_in_file(const struct process_mapping *m, int backing, uint64_t from,
			 uint64_t *start, uint64_t *end)
{
	struct source src = source_from_fd(backing, m->off, m->end - m->start);

	if (source_next_data(&src, from - m->start, start, end) != 0) {
		return false;
	}
	/* Whole pages: the rest of one can have been written by the process. */
	*start = (*start + m->start) & ~(PAGE - 1);
	*start = *start > from ? *start : from;
	*end = (*end + m->start + PAGE - 1) & ~(PAGE - 1);
	return true;
}

static int open_in_root(const struct process *p, const char *name, struct stat *st)
{
	char path[4 + 4096 + 1];
	int len = snprintf(path, sizeof(path), "root%s", name);

	return len < 0 || (size_t)len >= sizeof(path) ? -ENOENT : file_open(p->dir, path, st);
}

int process_open_original(const struct process *p, const struct process_mapping *m)
{
	static const char copy[] = "/memfd:lychgate:";
	const char *path = process_path(p, m);
	struct stat st;

	if (m->kind != PROCESS_DELETED || strncmp(path, copy, sizeof(copy) - 1) != 0 || path[sizeof(copy) - 1] != '/') {
		return -ENOENT;
	}
	return open_in_root(p, path + sizeof(copy) - 1, &st);
}

int process_open_backing(const struct process *p, const struct process_mapping *m)
{
	char link[64];
	struct stat st;
	int fd;

	if (m->kind != PROCESS_FILE && m->kind != PROCESS_DELETED) {
		return -ENOENT;
	}
	snprintf(link, sizeof(link), "map_files/%" PRIx64 "-%" PRIx64, m->start, m->end);
	fd = file_open(p->dir, link, &st);
	if (fd >= 0) {
		/* Between listing and now another file may have been mapped there. */
		if (st.st_ino == m->inode) {
			return fd;
		}
		close(fd);
	}
	if (m->kind != PROCESS_FILE || m->name == 0) {
		return -ENOENT;
	}
	fd = open_in_root(p, process_path(p, m), &st);
	if (fd >= 0 && (st.st_ino != m->inode || st.st_dev != m->dev)) {
		close(fd);
		return -ENOENT;
	}
	return fd;
}

bool process_next_data(const struct process *p, const struct process_mapping *m, uint64_t from,
		       uint64_t *start, uint64_t *end)
{
	uint64_t file_start, file_end;
	bool in_memory, in_file = false;
	int backing;

	from = from > m->start ? from : m->start;
	if (from >= m->end) {
		return false;
	}
	*start = from;
	*end = m->end;
	if (p->pagemap < 0) {
		return true;
	}
	if (m->kind != PROCESS_ANON) {
		backing = m->end - m->start >= HOLES_FROM ? process_open_backing(p, m) : -1;
		if (backing < 0) {
			return true;
		}
		in_file = next_in_file(m, backing, from, &file_start, &file_end);
		close(backing);
	}
	/* Looked for before the file's data only, so that no page is asked about twice. */
	in_memory = next_populated(p, from, in_file ? file_start : m->end, start, end);
	if (in_file && !in_memory) {
		*start = file_start;
		*end = file_end;
	}
	return in_file || in_memory;
}

struct comparison {
	const struct process *p;
	struct process_changes *changes;
	size_t at; /* in the list */
};

static void count_change(struct process_changes *changes, size_t *counter, uint64_t where)
{
	if (changes->added + changes->gone == 0 || where < changes->first) {
		changes->first = where;
	}
	(*counter)++;
}

static int compare_mapping(void *ctx, const struct mapping *m)
{
	struct comparison *c = ctx;
	const struct process_mapping *old;

	while (c->at < c->p->count && c->p->items[c->at].start < m->start) {
		count_change(c->changes, &c->changes->gone, c->p->items[c->at].start);
		c->at++;
	}
	old = c->at < c->p->count ? &c->p->items[c->at] : NULL;
	if (old != NULL && old->start == m->start) {
		c->at++;
		if (old->end == m->end && old->off == m->off && old->dev == m->dev &&
		    old->inode == m->inode && old->writable == m->writable) {
			return 0;
		}
		count_change(c->changes, &c->changes->gone, m->start);
	} else if (c->at == PROCESS_MAPPINGS_MAX) {
		return 0; /* beyond what the list holds */
	}
	count_change(c->changes, &c->changes->added, m->start);
	return 0;
}

int process_compare(const struct process *p, struct process_changes *changes)
{
	struct comparison c = {.p = p, .changes = changes};
	bool malformed;
	size_t lines;
	int rc;

	memset(changes, 0, sizeof(*changes));
	if (p->maps < 0) {
		return 0;
	}
	rc = each_executable(p->maps, &lines, &malformed, compare_mapping, &c);
	if (rc == 0 || rc == -ESRCH) {
		int gone = lines == 0 || rc == -ESRCH ? process_gone(p) : 0;

		if (gone != 0) {
			return gone;
		}
	}
	for (; rc == 0 && c.at < p->count; c.at++) {
		count_change(changes, &changes->gone, p->items[c.at].start);
	}
	return rc;
}
