/* SPDX-License-Identifier: Apache-2.0 */
/* The public functions that scan buffers and files. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive.h"
#include "engine.h"
#include "file.h"

const char *lych_scan_version(void)
{
	return LYCH_VERSION_STRING;
}

/* A file, or one member of an archive. */
struct subject {
	struct scan *scan;
	struct source src; /* the member's bytes */
	uint64_t file_off; /* where src starts in the file */
	const char *path, *member;
	bool sparse;
	bool explain_one; /* only what is at the address vaddr */
	uint64_t vaddr;
	/* of an archive */
	size_t members, elf_members;
	bool foreign_members;
};

/* struct image's next_data for a file with holes. */
static bool next_data(void *ctx, const struct range *range, uint64_t from, uint64_t *start,
		      uint64_t *end)
{
	const struct subject *subject = ctx;
	uint64_t off = range->off + (from - range->vaddr);

	if (source_next_data(&subject->src, off, start, end) != 0 || *start >= range->off + range->len) {
		return false;
	}
	*end = *end < range->off + range->len ? *end : range->off + range->len;
	*start += range->vaddr - range->off;
	*end += range->vaddr - range->off;
	return true;
}

static int run_image(struct subject *subject, struct image *image)
{
	struct scan *scan = subject->scan;
	int rc = 0;

	image->ctx = subject;
	image->next_data = subject->sparse ? next_data : NULL;
	scan->stats->images++;
	if (subject->explain_one) {
		return scan_image_at(scan, image, subject->vaddr);
	}
	if (scan->image_begin != NULL) {
		rc = scan->image_begin(scan->opts.ctx, scan, image);
	}
	if (rc == 0) {
		rc = scan_image(scan, image);
	}
	if (rc == 0 && scan->image_end != NULL) {
		rc = scan->image_end(scan->opts.ctx, scan, image);
	}
	return rc;
}

static int scan_flat(struct subject *subject)
{
	uint64_t base = subject->scan->opts.raw_vaddr;
	uint64_t len = subject->src.size;
	struct range range = {.vaddr = base, .off = 0, .len = len};
	struct origin origin = {.vaddr = base,
				.off = subject->src.fd >= 0 ? 0 : LYCH_NO_OFFSET,
				.path = subject->path,
				.member = ""};
	struct image image = {.src = &subject->src,
			      .ranges = &range,
			      .nranges = len > 0,
			      .origins = &origin,
			      .norigins = 1};

	if (len > 0 && base + (len - 1) < base) {
		return -EINVAL;
	}
	return run_image(subject, &image);
}

static void say_flags(struct subject *subject, unsigned flags, bool textrel)
{
	static const struct {
		unsigned flag;
		enum lych_severity severity;
		int err;
		const char *message;
	} table[] = {
		{RANGE_TRUNCATED, LYCH_DIAG_ERROR, -ENODATA,
		 "truncated: an executable segment reaches beyond the end of the file"},
		{RANGE_MISALIGNED, LYCH_DIAG_WARNING, 0,
		 "a segment's address and offset differ within the page: no loader takes it; scanned as it stands"},
		{RANGE_OVERLAP, LYCH_DIAG_WARNING, 0,
		 "segments lie over each other; scanned as the loaders map them, later over earlier"},
		{RANGE_WRITABLE, LYCH_DIAG_WARNING, 0,
		 "an executable segment is writable: what runs may not be what was scanned"},
		{RANGE_NO_STACK_HEADER, LYCH_DIAG_WARNING, 0,
		 "has no PT_GNU_STACK header: glibc before 2.41 makes stacks executable for it"},
		{RANGE_EXEC_STACK, LYCH_DIAG_WARNING, 0,
		 "asks for an executable stack: what is written there can run and was not scanned"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if ((flags & table[i].flag) != 0) {
			scan_diag(subject->scan, table[i].severity, table[i].err, subject->path,
				  subject->member, "%s", table[i].message);
		}
	}
	if (textrel) {
		scan_diag(subject->scan, LYCH_DIAG_WARNING, 0, subject->path, subject->member,
			  "text relocations: the loader will change the code that was scanned");
	}
}

static int scan_ranges(struct subject *subject, struct elf *elf, const struct range_list *ranges)
{
	size_t count = ranges->count > 0 ? ranges->count : 1;
	struct origin *origins = calloc(count, sizeof(*origins));
	struct site *sites = NULL;
	size_t nsites = 0;
	int rc;

	if (origins == NULL) {
		return -ENOMEM;
	}
	rc = scan_sites(&sites, &nsites, elf, 0);
	if (rc == 0) {
		struct image image = {.src = &subject->src,
				      .ranges = ranges->items,
				      .nranges = ranges->count,
				      .origins = origins,
				      .norigins = count};

		for (size_t i = 0; i < count; i++) {
			origins[i] = (struct origin){.path = subject->path,
						     .member = subject->member,
						     .elf = elf,
						     .sites = sites,
						     .nsites = nsites};
			if (i < ranges->count) {
				origins[i].vaddr = ranges->items[i].vaddr;
				origins[i].off = subject->file_off + ranges->items[i].off;
			}
		}
		rc = run_image(subject, &image);
	}
	free(sites);
	free(origins);
	return rc;
}

static int scan_elf(struct subject *subject)
{
	struct range_list ranges;
	const char *why = "";
	unsigned flags = 0;
	struct elf elf;
	int rc = elf_open(&elf, &subject->src, &why);

	if (rc == 0) {
		if (elf.ehdr.e_type == ET_REL) {
			rc = range_of_sections(&ranges, &flags, elf.shdrs, elf.nshdrs, subject->src.size);
		} else {
			rc = range_of_segments(&ranges, &flags, elf.phdrs, elf.nphdrs, subject->src.size);
		}
		if (rc == 0) {
			say_flags(subject, flags, elf.textrel);
			rc = scan_ranges(subject, &elf, &ranges);
			range_free(&ranges);
		} else if (rc == -EBADMSG) {
			why = (flags & RANGE_REPEATED) != 0
				      ? "maps the same bytes executable many times over"
				      : "segments that no loader could map";
		}
		elf_close(&elf);
	}
	switch (rc) {
	case -EBADMSG:
	case -ENODATA:
	case -ESTALE:
	case -EIO:
		scan_diag(subject->scan, LYCH_DIAG_ERROR, rc, subject->path, subject->member, "%s%s%s",
			  lych_strerror(rc), *why != '\0' ? ": " : "", why);
		return 0;
	default:
		return rc;
	}
}

static void refuse(struct subject *subject, int err, const char *what)
{
	scan_diag(subject->scan, LYCH_DIAG_ERROR, err, subject->path, subject->member, "%s%s%s",
		  lych_strerror(err), what != NULL ? ": " : "", what != NULL ? what : "");
}

static int read_head(struct subject *subject, uint8_t *head, size_t size, size_t *len)
{
	int rc = source_read_some(&subject->src, 0, head, size, len);

	if (rc != 0) {
		refuse(subject, rc, NULL);
	}
	return rc;
}

static int scan_member(void *ctx, const struct archive_member *member)
{
	struct subject *archive = ctx;
	struct subject subject = *archive;
	uint8_t head[64];
	char name[64];
	size_t len;

	subject.src = source_part(&archive->src, member->off, member->size);
	subject.file_off = archive->file_off + member->off;
	subject.member = member->name;
	archive->members++;
	if (read_head(&subject, head, sizeof(head), &len) != 0) {
		return 0;
	}
	switch (elf_identify(head, len)) {
	case ELF_KIND_X86_64:
		archive->elf_members++;
		return scan_elf(&subject);
	case ELF_KIND_CORE:
		refuse(&subject, -ELIBBAD, NULL);
		return 0;
	case ELF_KIND_FOREIGN:
		archive->foreign_members = true;
		scan_diag(subject.scan, LYCH_DIAG_NOTE, 0, subject.path, subject.member,
			  "not scanned: %s", elf_foreign_name(head, len, name, sizeof(name)));
		return 0;
	default:
		return 0;
	}
}

static int scan_archive(struct subject *subject)
{
	const char *why = NULL;
	int rc = archive_each(&subject->src, &why, scan_member, subject);

	switch (rc) {
	case -ENOTSUP:
		scan_diag(subject->scan, LYCH_DIAG_ERROR, rc, subject->path, subject->member, "%s", why);
		return 0;
	case -EBADMSG:
	case -ENODATA:
	case -ESTALE:
	case -EIO:
		refuse(subject, rc, why);
		return 0;
	case 0:
		break;
	default:
		return rc;
	}
	if (subject->members > 0 && subject->elf_members == 0 && subject->scan->first_error == 0) {
		refuse(subject, subject->foreign_members ? -EPROTOTYPE : -ENOEXEC, NULL);
	}
	return 0;
}

static int scan_subject(struct subject *subject)
{
	uint8_t head[64];
	char name[64];
	size_t len;

	if ((subject->scan->opts.flags & LYCH_SCAN_RAW) != 0) {
		return scan_flat(subject);
	}
	if (read_head(subject, head, sizeof(head), &len) != 0) {
		return 0;
	}
	if (archive_identify(head, len)) {
		return subject->explain_one ? -EINVAL : scan_archive(subject);
	}
	switch (elf_identify(head, len)) {
	case ELF_KIND_X86_64:
		return scan_elf(subject);
	case ELF_KIND_CORE:
		refuse(subject, -ELIBBAD, NULL);
		return 0;
	case ELF_KIND_FOREIGN:
		refuse(subject, -EPROTOTYPE, elf_foreign_name(head, len, name, sizeof(name)));
		return 0;
	default:
		refuse(subject, -ENOEXEC, NULL);
		return 0;
	}
}

int lych_scan_buffer(const void *buf, size_t len, const struct lych_scan_opts *opts,
		     struct lych_scan_stats *stats)
{
	struct lych_scan_stats scratch;
	struct scan scan;
	int rc = scan_begin(&scan, opts, stats, &scratch);

	if (rc == 0) {
		struct subject subject = {.scan = &scan,
					  .src = source_from_memory(buf, len),
					  .path = "",
					  .member = ""};

		if (buf == NULL && len > 0) {
			rc = -EINVAL;
		} else {
			rc = scan_flat(&subject);
		}
	}
	return scan_end(&scan, rc);
}

static bool same_contents(const struct stat *before, const struct stat *after)
{
	return before->st_size == after->st_size && before->st_mtim.tv_sec == after->st_mtim.tv_sec &&
	       before->st_mtim.tv_nsec == after->st_mtim.tv_nsec &&
	       before->st_ctim.tv_sec == after->st_ctim.tv_sec &&
	       before->st_ctim.tv_nsec == after->st_ctim.tv_nsec;
}

/* A hole is worth a system call of its own when there is much of it. */
static bool is_sparse(const struct stat *st)
{
	const off_t worth = 1 << 20;

	return st->st_size > worth && st->st_blocks < (st->st_size - worth) / 512;
}

int scan_open_file(struct scan *scan, int fd, const char *name, const uint64_t *only_vaddr)
{
	struct subject subject = {.scan = scan, .path = name, .member = ""};
	struct stat before, after;
	int rc;

	if (fstat(fd, &before) != 0) {
		return -EINVAL;
	}
	if (!S_ISREG(before.st_mode)) {
		refuse(&subject, S_ISDIR(before.st_mode) ? -EISDIR : -ENOTSUP, NULL);
		return 0;
	}
	if (scan->opts.max_bytes != 0 && (uint64_t)before.st_size > scan->opts.max_bytes) {
		scan_diag(scan, LYCH_DIAG_ERROR, -EFBIG, name, "", "%llu bytes are more than the limit",
			  (unsigned long long)before.st_size);
		return 0;
	}
	subject.src = source_from_fd(fd, 0, (uint64_t)before.st_size);
	subject.sparse = is_sparse(&before);
	if (only_vaddr != NULL) {
		subject.explain_one = true;
		subject.vaddr = *only_vaddr;
	}
	rc = scan_subject(&subject);
	if (fstat(fd, &after) == 0 && !same_contents(&before, &after) && rc == 0) {
		refuse(&subject, -ESTALE, NULL);
	}
	return rc;
}

int lych_scan_fd(int fd, const char *name, const struct lych_scan_opts *opts,
		 struct lych_scan_stats *stats)
{
	struct lych_scan_stats scratch;
	struct scan scan;
	int rc = scan_begin(&scan, opts, stats, &scratch);

	if (rc == 0) {
		rc = fd < 0 || name == NULL ? -EINVAL : scan_open_file(&scan, fd, name, NULL);
	}
	return scan_end(&scan, rc);
}

static int scan_path(const char *path, const uint64_t *only_vaddr, const struct lych_scan_opts *opts,
		     struct lych_scan_stats *stats)
{
	struct lych_scan_stats scratch;
	struct scan scan;
	int rc = scan_begin(&scan, opts, stats, &scratch);

	if (rc == 0 && path == NULL) {
		rc = -EINVAL;
	}
	if (rc == 0 && only_vaddr != NULL && (opts == NULL || opts->classes == 0)) {
		scan.opts.classes = LYCH_ALL_CLASSES;
	}
	if (rc == 0) {
		int fd = file_open(AT_FDCWD, path, NULL);

		if (fd < 0) {
			scan_diag(&scan, LYCH_DIAG_ERROR, fd, path, "", "%s", lych_strerror(fd));
		} else {
			rc = scan_open_file(&scan, fd, path, only_vaddr);
			close(fd);
		}
	}
	return scan_end(&scan, rc);
}

int lych_scan_file(const char *path, const struct lych_scan_opts *opts, struct lych_scan_stats *stats)
{
	return scan_path(path, NULL, opts, stats);
}

int lych_scan_explain(const char *path, uint64_t vaddr, const struct lych_scan_opts *opts)
{
	return scan_path(path, &vaddr, opts, NULL);
}
