/* SPDX-License-Identifier: Apache-2.0 */
/* The public function that scans a live process. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine.h"
#include "file.h"
#include "process.h"

struct subject {
	struct scan *scan;
	struct process process;
	struct source mem;
	char whole[32]; /* "process 4711": what diagnostics about all of it are called */

	/* One of each for a mapping that is scanned. */
	struct range *ranges;
	struct origin *origins;
	const struct process_mapping **mappings;
	char **names; /* owned where not NULL */
	size_t count;

	/*
	 * The file behind one mapping, opened at the first finding in it. Findings come in ascending order
	 * and the mappings of a file lie together, so one is enough.
	 */
	struct origin *explained;
	struct elf elf;
	int elf_fd;
};

static const char *kind_name(const struct process_mapping *m)
{
	switch ((enum process_kind)m->kind) {
	case PROCESS_ANON:
		return "[anonymous]";
	case PROCESS_VDSO:
		return "[vdso]";
	case PROCESS_VSYSCALL:
		return "[vsyscall]";
	default:
		return "[unnamed]";
	}
}

/* Where a range's addresses are in the list of mappings: ranges and mappings have the same index. */
static const struct process_mapping *mapping_of(const struct subject *subject, uint64_t vaddr)
{
	size_t low = 0, high = subject->count;

	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;

		if (subject->ranges[mid].vaddr <= vaddr) {
			low = mid;
		} else {
			high = mid;
		}
	}
	return subject->mappings[low];
}

static bool next_data(void *ctx, const struct range *range, uint64_t from, uint64_t *start,
		      uint64_t *end)
{
	struct subject *subject = ctx;

	return process_next_data(&subject->process, mapping_of(subject, range->vaddr), from, start, end);
}

static void forget_explained(struct subject *subject)
{
	if (subject->explained != NULL) {
		free(subject->explained->sites);
		subject->explained->elf = NULL;
		subject->explained->sites = NULL;
		subject->explained->nsites = 0;
		elf_close(&subject->elf);
		close(subject->elf_fd);
		subject->explained = NULL;
	}
}

static void explain(void *ctx, struct origin *origin)
{
	struct subject *subject = ctx;
	const struct process_mapping *m = subject->mappings[origin - subject->origins];
	struct source src;
	struct stat st;
	const char *why;
	uint64_t bias;

	if (subject->explained == origin) {
		return;
	}
	forget_explained(subject);
	if (m->kind != PROCESS_FILE && m->kind != PROCESS_DELETED) {
		return;
	}
	subject->elf_fd = process_open_original(&subject->process, m);
	if (subject->elf_fd < 0) {
		subject->elf_fd = process_open_backing(&subject->process, m);
	}
	if (subject->elf_fd < 0) {
		return;
	}
	if (fstat(subject->elf_fd, &st) != 0) {
		close(subject->elf_fd);
		return;
	}
	src = source_from_fd(subject->elf_fd, 0, (uint64_t)st.st_size);
	if (elf_open(&subject->elf, &src, &why) != 0) {
		close(subject->elf_fd);
		return;
	}
	subject->explained = origin;
	if (!elf_bias(&subject->elf, m->start, m->off, &bias)) {
		forget_explained(subject);
		return;
	}
	origin->elf = &subject->elf;
	origin->bias = bias;
	if (scan_sites(&origin->sites, &origin->nsites, &subject->elf, bias) != 0) {
		origin->nsites = 0; /* no memory for them: what would be a gate is a stray */
	}
}

static int take_mapping(struct subject *subject, const struct process_mapping *m)
{
	size_t i = subject->count++;
	const char *path = process_path(&subject->process, m);

	const struct process_mapping *before = i > 0 ? subject->mappings[i - 1] : NULL;
	bool same = before != NULL && before->kind == m->kind && before->name == m->name;

	/* Neighbours share a name: paths are long, and there may be many mappings of one file. */
	if (m->kind == PROCESS_DELETED && !same && asprintf(&subject->names[i], "%s (deleted)", path) < 0) {
		subject->names[i] = NULL;
		return -ENOMEM;
	}
	if (subject->names[i] != NULL) {
		path = subject->names[i];
	} else if (same) {
		path = subject->origins[i - 1].path;
	} else if (*path == '\0') {
		path = kind_name(m);
	}
	subject->mappings[i] = m;
	subject->ranges[i] = (struct range){.vaddr = m->start,
					    .off = m->start,
					    .len = m->end - m->start,
					    /* who can write a shared file writes what runs */
					    .writable = m->writable || m->shared,
					    .joins = m->joins};
	subject->origins[i] = (struct origin){.vaddr = m->start,
					      .off = m->kind == PROCESS_FILE || m->kind == PROCESS_DELETED
							     ? m->off
							     : LYCH_NO_OFFSET,
					      .path = path,
					      .member = ""};
	subject->scan->stats->images++;
	if (m->writable) {
		scan_diag(subject->scan, LYCH_DIAG_WARNING, 0, path, "",
			  "mapping at 0x%llx is writable and executable: what runs may not be what was scanned",
			  (unsigned long long)m->start);
	}
	if (m->shared && !m->writable) {
		scan_diag(subject->scan, LYCH_DIAG_WARNING, 0, path, "",
			  "mapping at 0x%llx is shared: what is written to its file runs, and may not be what was "
			  "scanned",
			  (unsigned long long)m->start);
	}
	return 0;
}

static int take_mappings(struct subject *subject)
{
	size_t count = subject->process.count + 1;

	subject->ranges = calloc(count, sizeof(*subject->ranges));
	subject->origins = calloc(count, sizeof(*subject->origins));
	subject->mappings = calloc(count, sizeof(*subject->mappings));
	subject->names = calloc(count, sizeof(*subject->names));
	if (subject->ranges == NULL || subject->origins == NULL || subject->mappings == NULL ||
	    subject->names == NULL) {
		return -ENOMEM;
	}
	for (size_t i = 0; i < subject->process.count; i++) {
		const struct process_mapping *m = &subject->process.items[i];
		int rc;

		if (m->kind == PROCESS_VSYSCALL) {
			scan_diag(subject->scan, LYCH_DIAG_NOTE, 0, "[vsyscall]", "",
				  "not scanned: the kernel emulates this page, its bytes are never executed");
			continue;
		}
		rc = take_mapping(subject, m);
		if (rc != 0) {
			return rc;
		}
	}
	return 0;
}

/* What makes the result less than all there is. */
static int say_doubts(struct subject *subject)
{
	struct process_changes changes;
	int rc;

	if (subject->process.too_many || subject->process.malformed) {
		scan_diag(subject->scan, LYCH_DIAG_ERROR, -EBADMSG, subject->whole, "",
			  subject->process.too_many ? "has more executable mappings than can be listed"
						    : "a line of its list of mappings was not understood");
	}
	rc = process_gone(&subject->process);
	if (rc == 0) {
		rc = process_compare(&subject->process, &changes);
	}
	if (rc != 0) {
		return rc;
	}
	if (changes.added + changes.gone > 0) {
		scan_diag(subject->scan, LYCH_DIAG_ERROR, -ESTALE, subject->whole, "",
			  "executable mappings changed meanwhile: %zu new, %zu gone, the first at 0x%llx",
			  changes.added, changes.gone, (unsigned long long)changes.first);
	}
	return 0;
}

static int scan_subject(struct subject *subject)
{
	struct image image = {.src = &subject->mem,
			      .live = true,
			      .next_data = next_data,
			      .explain = explain,
			      .ctx = subject};
	int rc = take_mappings(subject);

	if (rc != 0) {
		return rc;
	}
	image.ranges = subject->ranges;
	image.nranges = subject->count;
	image.origins = subject->origins;
	image.norigins = subject->count;
	rc = scan_image(subject->scan, &image);
	if (rc == -ESRCH && process_gone(&subject->process) != 0) {
		rc = process_gone(&subject->process);
	}
	return rc != 0 ? rc : say_doubts(subject);
}

int lych_scan_process(pid_t pid, const struct lych_scan_opts *opts, struct lych_scan_stats *stats)
{
	struct lych_scan_stats scratch;
	struct scan scan;
	struct subject subject = {.scan = &scan};
	int rc = scan_begin(&scan, opts, stats, &scratch);

	snprintf(subject.whole, sizeof(subject.whole), "process %ld", (long)pid);
	if (rc == 0) {
		rc = process_open(&subject.process, pid);
		if (rc == 0) {
			subject.mem = process_source(&subject.process);
			rc = scan_subject(&subject);
			forget_explained(&subject);
			for (size_t i = 0; i < subject.count; i++) {
				free(subject.names[i]);
			}
			free(subject.names);
			free(subject.mappings);
			free(subject.origins);
			free(subject.ranges);
			process_close(&subject.process);
		}
		if (rc < 0 && rc != -ECANCELED && rc != -ETIMEDOUT) {
			scan_diag(&scan, LYCH_DIAG_ERROR, rc, subject.whole, "", "%s", lych_strerror(rc));
		}
	}
	return scan_end(&scan, rc);
}
