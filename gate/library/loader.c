/* SPDX-License-Identifier: Apache-2.0 */
#include "loader.h"

#include <cpuid.h>
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../core/asm.h"
#include "../core/why.h"

struct file {
	const char *path;
	const uint8_t *bytes;
	uint64_t len;
	uint64_t room; /* of scratch; 0: not from there */
};

/* ---- the file --------------------------------------------------------------------------------------------------- */

static int check_file(int fd, const char *path, uint64_t *len)
{
	struct stat st;
	long rc = sys2(SYS_fstat, fd, &st);

	if (rc < 0) {
		why_set("library: the dynamic loader %.200s cannot be looked at (error %ld)", path, -rc);
		return -EIO;
	}
	if (!S_ISREG(st.st_mode)) {
		why_set("library: the dynamic loader %.200s is not a regular file", path);
		return S_ISDIR(st.st_mode) ? -EISDIR : -ENOTSUP;
	}
	if ((uint64_t)st.st_size > LOADER_FILE_MAX) {
		why_set("library: the dynamic loader %.200s is too large", path);
		return -EFBIG;
	}
	*len = (uint64_t)st.st_size;
	return 0;
}

/* Reads until the end of the file, which may not be after len. */
static int read_bytes(int fd, const char *path, uint8_t *to, uint64_t len)
{
	uint64_t have = 0;
	long rc = 0;
	uint8_t more;

	while (have < len) {
		rc = sys3(SYS_read, fd, to + have, len - have);
		if (rc == -EINTR) {
			continue;
		}
		if (rc <= 0) {
			break;
		}
		have += (uint64_t)rc;
	}
	do {
		rc = rc < 0 ? rc : sys3(SYS_read, fd, &more, 1);
	} while (rc == -EINTR);
	if (rc < 0) {
		why_set("library: the dynamic loader %.200s cannot be read (error %ld)", path, -rc);
		return -EIO;
	}
	if (rc > 0 || have < len) {
		why_set("library: the dynamic loader %.200s changes", path);
		return -ESTALE;
	}
	return 0;
}

static int read_file(struct file *out, const char *path, const struct loader_ops *ops)
{
	uint64_t len = 0;
	uint8_t *bytes = NULL;
	long fd = sys4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
	int rc;

	if (fd < 0) {
		why_set("library: the dynamic loader %.200s cannot be opened (error %ld)", path, -fd);
		return fd == -EACCES || fd == -EPERM ? -EACCES : fd == -ENOMEM ? -ENOMEM : -ENOENT;
	}
	rc = check_file((int)fd, path, &len);
	if (rc == 0) {
		bytes = ops->scratch(ops->ctx, len + 1);
		rc = bytes == NULL ? -ENOMEM : read_bytes((int)fd, path, bytes, len);
	}
	(void)sys1(SYS_close, fd);
	if (rc != 0 && bytes != NULL) {
		ops->release(ops->ctx, bytes, len + 1);
		return rc;
	}
	*out = (struct file){.path = path, .bytes = bytes, .len = len, .room = len + 1};
	return rc;
}

/* ---- into the arena --------------------------------------------------------------------------------------------- */

static int map_segment(uint64_t base, const struct loader_segment *s, const struct file *file,
		       const struct loader_ops *ops)
{
	int prot = (s->readable ? PROT_READ : 0) | (s->writable ? PROT_WRITE : 0);
	int rc = 0;

	if (s->held != 0) {
		uint8_t *pages = ops->scratch(ops->ctx, s->held);

		if (pages == NULL) {
			return -ENOMEM;
		}
		loader_elf_fill(pages, s, file->bytes);
		if (s->executable) {
			struct loader_code code = {
				.at = base + s->start,
				.bytes = pages,
				.len = s->held,
				.path = file->path,
				.file = file->bytes,
				.file_bytes = file->len,
				.off = s->file - (s->vaddr - s->start),
			};

			rc = ops->code(ops->ctx, &code);
		} else {
			rc = ops->copy(ops->ctx, base + s->start, pages, s->held, prot);
		}
		ops->release(ops->ctx, pages, s->held);
	}
	if (rc == 0 && s->start + s->held != s->end) {
		rc = ops->map(ops->ctx, base + s->start + s->held, s->end - s->start - s->held, prot);
	}
	return rc;
}

static int map_file(struct loader_elf *elf, uint64_t *base, const struct file *file, bool interpreted,
		    const struct loader_ops *ops)
{
	const char *why;
	int rc = loader_elf_read(elf, &why, file->bytes, file->len);

	if (rc == 0 && elf->interpreted != interpreted) {
		why = interpreted ? "is no program" : "is a program";
		rc = -ENOEXEC;
	}
	if (rc != 0) {
		why_set("library: %.200s cannot be a dynamic loader: it %s", file->path, why);
		return rc;
	}
	rc = ops->place(ops->ctx, base, elf->end, elf->align);
	for (uint32_t i = 0; rc == 0 && i < elf->count; i++) {
		rc = map_segment(*base, &elf->segments[i], file, ops);
	}
	return rc;
}

static int make_stack(struct loader_start *out, const struct loader_ops *ops, uint64_t rip,
		      const struct loader_first *first)
{
	uint64_t place = 0, rsp;
	uint8_t *top;
	int rc = ops->place(ops->ctx, &place, LOADER_STACK_BYTES + LYCH_PAGE, LYCH_PAGE);

	if (rc != 0) {
		return rc;
	}
	out->stack = place + LYCH_PAGE;
	out->stack_end = out->stack + LOADER_STACK_BYTES;
	top = ops->scratch(ops->ctx, LOADER_FIRST_BYTES);
	if (top == NULL) {
		return -ENOMEM;
	}
	rc = loader_stack(top, out->stack_end, rip, first, &rsp, &out->start);
	if (rc != 0) {
		why_set("library: what its loader is told is too long");
	}
	if (rc == 0) {
		rc = ops->map(ops->ctx, out->stack, LOADER_STACK_BYTES, PROT_READ | PROT_WRITE);
	}
	if (rc == 0) {
		rc = ops->write(ops->ctx, out->stack_end - LOADER_FIRST_BYTES, top, LOADER_FIRST_BYTES);
	}
	ops->release(ops->ctx, top, LOADER_FIRST_BYTES);
	return rc;
}

static int tell_machine(struct loader_first *first)
{
	long rc = sys3(SYS_getrandom, first->random, sizeof(first->random), 0);
	unsigned int eax, ebx, ecx, edx;

	if (rc != (long)sizeof(first->random)) {
		why_set("library: the kernel gives no random bytes (error %ld)", -rc);
		return -EIO;
	}
	__cpuid(1, eax, ebx, ecx, edx); /* as the kernel does; getauxval gives something of the C library's own */
	first->hwcap = edx;
	first->hwcap2 = getauxval(AT_HWCAP2);
	first->clktck = getauxval(AT_CLKTCK);
	first->minsigstksz = getauxval(AT_MINSIGSTKSZ);
	first->uid = getauxval(AT_UID);
	first->euid = getauxval(AT_EUID);
	first->gid = getauxval(AT_GID);
	first->egid = getauxval(AT_EGID);
	return 0;
}

static int begin(struct loader_start *out, const struct loader_ops *ops, const struct file *loader,
		 struct loader_first *first)
{
	const struct file stub = {.path = "[stub]", .bytes = lych_stub, .len = (uint64_t)(lych_stub_end - lych_stub)};
	struct loader_elf elf;
	uint64_t rip;
	int rc = map_file(&elf, &out->loader, loader, false, ops);

	if (rc != 0) {
		return rc;
	}
	out->loader_end = out->loader + elf.end;
	rip = out->loader + elf.entry;
	rc = map_file(&elf, &out->stub, &stub, true, ops);
	if (rc != 0) {
		return rc;
	}
	out->stub_end = out->stub + elf.end;
	out->enter = out->stub + elf.entry + STUB_ENTER;
	first->base = out->loader;
	first->entry = out->stub + elf.entry;
	first->phdr = out->stub + elf.phdr;
	first->phnum = elf.phnum;
	return make_stack(out, ops, rip, first);
}

int loader_begin(struct loader_start *out, const struct loader_ops *ops, const struct lych_library_opts *opts,
		 const char *name)
{
	struct loader_first first = {.name = name, .search = opts != NULL ? opts->search : NULL};
	const char *path = opts != NULL && opts->loader != NULL ? opts->loader : LOADER_DEFAULT;
	struct file loader;
	const char *why;
	int rc;

	*out = (struct loader_start){0};
	rc = first.search != NULL ? loader_search(first.search, &why) : 0;
	if (rc != 0) {
		why_set("library: the search path cannot be used: %s", why);
		return rc;
	}
	rc = tell_machine(&first);
	if (rc == 0) {
		rc = read_file(&loader, path, ops);
	}
	if (rc == 0) {
		rc = begin(out, ops, &loader, &first);
		ops->release(ops->ctx, (void *)(uintptr_t)loader.bytes, loader.room);
	}
	return rc;
}
