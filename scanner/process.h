/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A live process: its executable mappings, and its memory as a source. Everything is opened once
 * and read through the same descriptors, which belong to one address space: neither a reused
 * process id nor an execve can mix two programs.
 */
#ifndef LYCH_PROCESS_H
#define LYCH_PROCESS_H

#include "elf.h"
#include "maps.h"

/* More executable mappings than these are not kept; a process may have a million of all kinds. */
#define PROCESS_MAPPINGS_MAX (UINT32_C(1) << 18)

enum process_kind {
	PROCESS_FILE,    /* a file, as far as known still there */
	PROCESS_DELETED, /* a deleted file, also memfd and shared anonymous memory */
	PROCESS_ANON,    /* private memory without a file: JIT, heap, stack */
	PROCESS_VDSO,
	PROCESS_VSYSCALL, /* not in this process's memory and not readable: the kernel emulates it
			   */
	PROCESS_OTHER,    /* other memory of the kernel's making, such as [uprobes] */
};

struct process_mapping {
	uint64_t start, end, off;
	uint64_t dev, inode;
	uint32_t name; /* process_path() */
	uint8_t kind;  /* enum process_kind */
	bool readable, writable, shared;
	bool joins; /* begins where the one before ends: sequences can lie across */
};

struct process {
	pid_t pid;
	int dir;       /* /proc/PID, or /proc/PID/task/TID where the first thread has ended */
	int maps, mem; /* mem is -1 when the process has no memory (a kernel thread) */
	int pagemap;   /* or -1 */

	struct process_mapping *items; /* owned; ascending, not overlapping */
	size_t count;
	char *names; /* owned */
	size_t names_len, names_room;

	bool too_many;   /* more than PROCESS_MAPPINGS_MAX; the rest is not listed */
	bool names_lost; /* some paths were not kept and are "" */
	bool malformed;  /* a line of maps was not understood */
};

/*
 * process_open lists the executable mappings of pid. p stays in *p until process_close. Returns 0,
 * -EINVAL, -ENOENT (no such process), -EACCES, -ESRCH (it ended: also a zombie), -ENOMEM, -EIO.
 * After an error nothing is held.
 */
LYCH_MUST_CHECK int process_open(struct process *p, pid_t pid);
void process_close(struct process *p);

/*
 * The memory by virtual address. Reading what is mapped but has no bytes (a file's mapping beyond
 * its end, a device) gives -EIO after the bytes before it; the next page may be readable again. 0
 * bytes mean that the address space is gone: process_gone says how.
 */
struct source process_source(const struct process *p);

/* 0 while the address space is there, -ESRCH when the process ended, -ESTALE when it runs
 * another program now (execve). */
LYCH_MUST_CHECK int process_gone(const struct process *p);

/*
 * process_next_data finds the first stretch at or above from in *m that can hold anything but
 * zeros: [*start, *end), which may touch the one before. Untouched anonymous memory and holes of a
 * large file have no bytes, and reading them would make the kernel allocate memory for them. What
 * cannot be told counts. Returns false when there is none any more. So that the caller can look at
 * the clock, a call ends after 256 GiB without data, with an empty stretch.
 */
bool process_next_data(const struct process *p, const struct process_mapping *m, uint64_t from,
		       uint64_t *start, uint64_t *end);

/* The path as the kernel writes it, " (deleted)" cut off; "" when there is none. Raw: clean it
 * before showing it (file_clean_name). Belongs to p. */
const char *process_path(const struct process *p, const struct process_mapping *m);

/*
 * process_open_backing opens the file behind a mapping, for symbols: the file itself where the
 * kernel lets us (CAP_CHECKPOINT_RESTORE; then deleted ones, too), else what has its path now, if
 * device and inode are equal (they differ on btrfs and some overlays: then there are no symbols).
 * Returns a descriptor, -ENOENT when there is no such file, or another error of file_open.
 */
LYCH_MUST_CHECK int process_open_backing(const struct process *p, const struct process_mapping *m);

/*
 * process_open_original opens the file that a mapping was made from that says of itself that it is a copy of one made by the
 * runtime (gate/code/door.c): its name is "/memfd:lychgate:" and the file's path, its offset is that in the file. Anybody can
 * give such a name: it is for symbols and for the list of gates, which are compared with the bytes in memory. Returns as
 * process_open_backing; -ENOENT when it says no such thing.
 */
LYCH_MUST_CHECK int process_open_original(const struct process *p, const struct process_mapping *m);

struct process_changes {
	size_t added, gone; /* executable mappings; a changed one counts as both */
	uint64_t first;     /* lowest address concerned */
};

/*
 * process_compare reads the mappings again and says how the executable ones differ from the list.
 * Returns 0, -ESRCH, -ESTALE, -ENOMEM, -EIO.
 */
LYCH_MUST_CHECK int process_compare(const struct process *p, struct process_changes *changes);

#endif /* LYCH_PROCESS_H */
