/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <libunwind.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "../../scanner/repair_cfi.h"
#include "parts.h"
#include "unwind.h"

/* ---- what others offer ---------------------------------------------------------------------------------------- */

/* libgcc's struct object has 48 bytes, more in newer versions. */
#define LIBGCC_OBJECT_BYTES 128
extern void __register_frame_info(const void *begin, void *object) __attribute__((weak));
/*
 * LLVM's libunwind. It has a __register_frame_info, too, which does nothing; and one for whole sections, which does not
 * stop at their end (LLVM 14).
 */
extern void __unw_add_dynamic_fde(uintptr_t fde) __attribute__((weak));

/* gdb's, as in its manual, "JIT Compilation Interface". */
enum { JIT_NOACTION, JIT_REGISTER_FN };

struct jit_code_entry {
	struct jit_code_entry *next_entry, *prev_entry;
	const void *symfile_addr;
	uint64_t symfile_size;
};

struct jit_descriptor {
	uint32_t version, action_flag;
	struct jit_code_entry *relevant_entry, *first_entry;
};

/* gdb looks both up by their names. Weak: a program that LLVM is linked into has them already. */
__attribute__((weak, noinline, visibility("default"))) void __jit_debug_register_code(void);
extern struct jit_descriptor __jit_debug_descriptor;
__attribute__((weak, visibility("default"))) struct jit_descriptor __jit_debug_descriptor = {.version = 1};

__attribute__((weak, noinline, visibility("default"))) void __jit_debug_register_code(void)
{
	__asm__ volatile("" ::: "memory");
}

/* ---- runs of trampolines --------------------------------------------------------------------------------------- */

struct place {
	uint64_t vaddr, site, resume;
	uint8_t len, after; /* from this byte on it is done; len: nowhere */
};

/* Stands at the start of its block of memory. Writable, since others keep their lists in it; what it points to is not. */
struct group {
	struct group *next;
	struct lych_code_unwind unwind;
	const struct place *places; /* ascending */
	size_t n;
	struct jit_code_entry jit;
	unw_dyn_info_t dyn;
	uint64_t libgcc[LIBGCC_OBJECT_BYTES / 8];
};

static _Atomic(struct group *) groups; /* only ever grows */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static const struct group *group_of(uint64_t pc)
{
	const struct group *g = groups;

	while (g != NULL && (pc < g->unwind.start || pc >= g->unwind.end)) {
		g = g->next;
	}
	return g;
}

bool lych_code_unwind_of(uint64_t pc, struct lych_code_unwind *out)
{
	const struct group *g = group_of(pc);

	if (g != NULL) {
		*out = g->unwind;
	}
	return g != NULL;
}

bool lych_code_site_of(uint64_t pc, uint64_t *site)
{
	const struct group *g = group_of(pc);
	size_t low = 0, high = g != NULL ? g->n : 0;
	const struct place *p;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (g->places[mid].vaddr <= pc) {
			low = mid + 1;
		} else {
			high = mid;
		}
	}
	if (low == 0) {
		return false;
	}
	p = &g->places[low - 1];
	if (pc - p->vaddr >= p->len) {
		return false;
	}
	*site = pc - p->vaddr >= p->after ? p->resume : p->site;
	return true;
}

/* ---- telling --------------------------------------------------------------------------------------------------- */

static void tell_gdb(struct group *g)
{
	struct jit_descriptor *descriptor = &__jit_debug_descriptor;

	g->jit.next_entry = descriptor->first_entry;
	if (g->jit.next_entry != NULL) {
		g->jit.next_entry->prev_entry = &g->jit;
	}
	descriptor->first_entry = &g->jit;
	descriptor->relevant_entry = &g->jit;
	descriptor->action_flag = JIT_REGISTER_FN;
	__jit_debug_register_code();
	descriptor->action_flag = JIT_NOACTION;
}

static void tell_libunwind(struct group *g)
{
	g->dyn.start_ip = g->unwind.start;
	g->dyn.end_ip = g->unwind.end;
	g->dyn.format = UNW_INFO_FORMAT_IP_OFFSET;
	g->dyn.u.rti.segbase = g->unwind.frame;
	g->dyn.u.rti.table_data = g->unwind.table;
	g->dyn.u.rti.table_len = g->unwind.entries;
	_U_dyn_register(&g->dyn);
}

/* FDEs stand at the same offsets in both sections. */
static void tell_exceptions(struct group *g, uint64_t frame)
{
	const int32_t *table = (const void *)(uintptr_t)g->unwind.table;

	if (__register_frame_info != NULL) {
		__register_frame_info((const void *)(uintptr_t)frame, g->libgcc);
	}
	for (size_t i = 0; __unw_add_dynamic_fde != NULL && i < g->unwind.entries; i++) {
		__unw_add_dynamic_fde((uintptr_t)frame + (uint32_t)table[2 * i + 1]);
	}
}

/* ---- making ---------------------------------------------------------------------------------------------------- */

static struct place place_of(const struct repair_trampoline *t)
{
	struct place p = {.vaddr = t->vaddr, .site = t->site, .resume = t->resume, .len = t->len, .after = t->len};

	for (size_t i = 0; repair_steps_valid(t) && i < t->nsteps; i++) {
		if (t->steps[i].after) {
			p.after = t->steps[i].off;
			break;
		}
	}
	return p;
}

static bool ascending(const struct repair_trampoline *t, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (t[i].len == 0 || t[i].vaddr + t[i].len < t[i].vaddr ||
		    (i > 0 && t[i].vaddr < t[i - 1].vaddr + t[i - 1].len)) {
			return false;
		}
	}
	return n > 0 && n <= UINT16_MAX && t[n - 1].vaddr - t[0].vaddr < INT32_MAX;
}

/* A group in memory of its own that is filled but known to nobody; NULL: no memory. */
static struct group *make(const struct repair_trampoline *trampolines, size_t n,
			  const char (*names)[UNWIND_NAME_BYTES], struct unwind_layout *layout)
{
	size_t head = page_up(sizeof(struct group)), places = n * sizeof(struct place);
	size_t bytes = page_up(head + places + unwind_image_room(n));
	uint8_t *block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *image;
	const struct repair_trampoline *last = &trampolines[n - 1];
	struct group *g = (void *)block;

	if (block == MAP_FAILED) {
		return NULL;
	}
	for (size_t i = 0; i < n; i++) {
		((struct place *)(void *)(block + head))[i] = place_of(&trampolines[i]);
	}
	image = block + head + places;
	unwind_image(layout, image, (uint64_t)(uintptr_t)image, trampolines, n, names);
	if (mprotect(block + head, bytes - head, PROT_READ) != 0) {
		munmap(block, bytes);
		return NULL;
	}
	g->places = (void *)(block + head);
	g->n = n;
	g->unwind.start = trampolines[0].vaddr;
	g->unwind.end = last->vaddr + last->len;
	g->unwind.memory = (uint64_t)(uintptr_t)block;
	g->unwind.memory_bytes = bytes;
	g->unwind.frame = (uint64_t)(uintptr_t)image + layout->debug_frame;
	g->unwind.table = (uint64_t)(uintptr_t)image + layout->table;
	g->unwind.entries = layout->table_entries;
	g->jit.symfile_addr = image + layout->image;
	g->jit.symfile_size = layout->image_bytes;
	return g;
}

int unwind_add(const struct repair_trampoline *trampolines, size_t n,
	       void (*name)(void *ctx, const struct repair_trampoline *t, char out[UNWIND_NAME_BYTES]), void *ctx)
{
	char(*names)[UNWIND_NAME_BYTES];
	struct unwind_layout layout;
	struct group *g;

	if (!ascending(trampolines, n)) {
		return -EINVAL;
	}
	names = mmap(NULL, n * sizeof(*names), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (names == MAP_FAILED) {
		return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++) {
		snprintf(names[i], sizeof(names[i]), "repair:0x%llx", (unsigned long long)trampolines[i].site);
		if (name != NULL) {
			name(ctx, &trampolines[i], names[i]);
		}
	}
	g = make(trampolines, n, names, &layout);
	munmap(names, n * sizeof(*names));
	if (g == NULL) {
		return -ENOMEM;
	}
	pthread_mutex_lock(&lock);
	tell_gdb(g);
	if (g->unwind.entries > 0) {
		tell_libunwind(g);
		tell_exceptions(g, g->unwind.frame - layout.debug_frame + layout.exception_frame);
	}
	g->next = groups;
	groups = g;
	pthread_mutex_unlock(&lock);
	return 0;
}
