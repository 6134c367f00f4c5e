/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "../../scanner/maps.h"
#include "../core/asm.h"
#include "../core/why.h"
#include "parts.h"

#define VSYSCALL UINT64_C(0xffffffffff600000)

/* All of the file, as text that ends with a NUL; NULL with *err. */
static char *read_all(const char *path, int *err)
{
	size_t room, len = 0;
	char *text = arena_rest(&room);
	long fd = sys4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0), got = 1;

	if (fd < 0) {
		*err = (int)fd;
		return NULL;
	}
	while (got > 0 && len + 1 < room) {
		got = sys3(SYS_read, fd, text + len, room - len - 1);
		if (got == -EINTR) {
			got = 1;
		} else if (got > 0) {
			len += (size_t)got;
		}
	}
	sys1(SYS_close, fd);
	*err = got < 0 ? (int)got : got > 0 ? -ENOMEM : 0;
	if (*err != 0) {
		return NULL;
	}
	text[len] = '\0';
	return arena_take(len + 1);
}

static size_t count_lines(const char *text)
{
	size_t n = 0;

	for (; (text = strchr(text, '\n')) != NULL; text++) {
		n++;
	}
	return n;
}

static void take(struct code_map *map, const struct mapping *m)
{
	*map = (struct code_map){.start = m->start,
				 .end = m->end,
				 .off = m->off,
				 .dev = m->dev,
				 .inode = m->inode,
				 .readable = m->readable,
				 .writable = m->writable,
				 .executable = m->executable,
				 .shared = m->shared,
				 .deleted = m->deleted,
				 .path = m->path};
}

int maps_read(struct code_maps *maps)
{
	int err;
	char *text = read_all("/proc/self/maps", &err);
	uint64_t end = 0;

	*maps = (struct code_maps){0};
	if (text == NULL) {
		if (err == -ENOMEM) {
			return err;
		}
		why_set("sandbox: /proc/self/maps cannot be read (%s): mount /proc", lych_strerror(err));
		return -EOPNOTSUPP;
	}
	maps->items = arena_take(count_lines(text) * sizeof(*maps->items));
	if (maps->items == NULL) {
		return -ENOMEM;
	}
	for (char *next; (next = strchr(text, '\n')) != NULL; text = next) {
		struct mapping m;

		*next++ = '\0';
		if (!mapping_parse(&m, text)) {
			why_set("kernel: a line of /proc/self/maps is not understood");
			return -EOPNOTSUPP;
		}
		/* One that grew between two reads comes again. */
		if (m.end > end) {
			if (m.start < end) {
				m.off += end - m.start;
				m.start = end;
			}
			end = m.end;
			take(&maps->items[maps->count++], &m);
		}
	}
	return 0;
}

size_t maps_from(const struct code_maps *maps, uint64_t vaddr)
{
	size_t low = 0, high = maps->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (maps->items[mid].end <= vaddr) {
			low = mid + 1;
		} else {
			high = mid;
		}
	}
	return low;
}

bool map_is_code(const struct code_map *map)
{
	return map->executable && !map->left && map->start != VSYSCALL;
}

size_t maps_code(void *ctx, uint64_t vaddr, void *buf, size_t len)
{
	const struct code_maps *maps = ctx;
	size_t i = maps_from(maps, vaddr), got = 0;

	while (i < maps->count && got < len && maps->items[i].start <= vaddr + got && map_is_code(&maps->items[i]) &&
	       maps->items[i].readable) {
		const struct code_map *map = &maps->items[i++];
		const uint8_t *from = map->content != NULL ? map->content : (const uint8_t *)(uintptr_t)map->start;
		size_t here = map->end - (vaddr + got);

		here = here < len - got ? here : len - got;
		memcpy((char *)buf + got, from + (vaddr + got - map->start), here);
		got += here;
	}
	return got;
}

bool code_fetch(void *to, uint64_t at, size_t bytes)
{
	long self = sys0(SYS_getpid);

	while (bytes > 0) {
		const struct iovec into = {to, bytes}, from = {(void *)(uintptr_t)at, bytes};
		long n = sys6(SYS_process_vm_readv, self, (long)&into, 1, (long)&from, 1, 0);

		if (n == -EINTR) {
			continue;
		}
		if (n <= 0) {
			return false;
		}
		to = (char *)to + n;
		at += (uint64_t)n;
		bytes -= (size_t)n;
	}
	return true;
}

bool code_holds(uint64_t at, const uint8_t *content, size_t bytes, void *chunk)
{
	while (bytes > 0) {
		size_t n = bytes < CODE_CHUNK ? bytes : CODE_CHUNK;

		if (!code_fetch(chunk, at, n) || memcmp(chunk, content, n) != 0) {
			return false;
		}
		at += n;
		content += n;
		bytes -= n;
	}
	return true;
}
