/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "../core/asm.h"
#include "parts.h"

/* As far as jumps lead, with room for what a jump may have to lead over. */
#define REACH (UINT64_C(0x7ff) << 20)
/* A heap that grows up and a stack that grows down get so much. */
#define GROWTH (UINT64_C(1) << 30)
#define NEAR (UINT64_C(64) << 20)
#define LOWEST UINT64_C(0x100000)
#define HIGHEST (UINT64_C(1) << 47)

struct around {
	struct repair_options *options;
	const struct code_maps *maps;
	uint64_t brk;
};

static bool known(const struct repair_options *options, const struct repair_area *area)
{
	for (size_t i = 0; i < options->nareas; i++) {
		if (options->areas[i].start <= area->start && options->areas[i].end >= area->end) {
			return true;
		}
	}
	return false;
}

static void add(struct repair_options *options, uint64_t start, uint64_t end)
{
	struct repair_area area = {page_up(start), page_down(end)};

	if (area.start < area.end && options->nareas < REPAIR_AREAS && !known(options, &area)) {
		options->areas[options->nareas++] = area;
	}
}

static bool is_stack(const struct code_map *map)
{
	return strcmp(map->path, "[stack]") == 0;
}

/* What is free between mapping i - 1 and mapping i, and nobody's to grow into. */
static struct repair_area gap(const struct around *a, size_t i)
{
	const struct code_map *items = a->maps->items;
	struct repair_area area = {LOWEST, HIGHEST};

	if (i > 0) {
		area.start = items[i - 1].end + CODE_PAGE;
	}
	if (i < a->maps->count) {
		area.end = items[i].start > CODE_PAGE ? items[i].start - CODE_PAGE : 0;
		if (is_stack(&items[i]) && area.end > area.start) {
			area.end = area.end - area.start > GROWTH ? area.end - GROWTH : area.start;
		}
	}
	/* The program break is here, whether anything was allocated from it or not. */
	if (a->brk + CODE_PAGE >= area.start && a->brk < area.end && area.start < a->brk + GROWTH) {
		area.start = a->brk + GROWTH;
	}
	area.end = area.end < HIGHEST ? area.end : HIGHEST;
	return area;
}

/* The nearest gaps below and above vaddr, then all that can be reached from it: punned jumps are choosy. */
static void around_one(const struct around *a, uint64_t vaddr)
{
	uint64_t low = vaddr > REACH + LOWEST ? vaddr - REACH : LOWEST, high = vaddr + REACH;
	size_t here = maps_from(a->maps, vaddr);
	bool near = false;

	for (size_t i = here + 1; i-- > 0 && (i == 0 || a->maps->items[i - 1].end > low || !near);) {
		struct repair_area area = gap(a, i);
		uint64_t start = area.start > low ? area.start : low;

		if (start < area.end && !near) {
			/* Not right below: that is where the next library goes. */
			uint64_t end = area.end - start > 2 * NEAR ? area.end - NEAR : area.end;

			add(a->options, end - start > NEAR ? end - NEAR : start, end);
			near = true;
		}
		add(a->options, start, area.end);
		if (area.start <= low) {
			break;
		}
	}
	for (size_t i = here + 1; i <= a->maps->count; i++) {
		struct repair_area area = gap(a, i);

		if (area.start >= high) {
			break;
		}
		add(a->options, area.start, area.end < high ? area.end : high);
	}
}

void areas_choose(struct repair_options *options, const struct code_maps *maps, const struct code_hits *hits)
{
	struct around a = {options, maps, (uint64_t)sys1(SYS_brk, 0)};
	uint64_t last = 0;

	options->nareas = 0;
	for (size_t i = 0; i < hits->count; i++) {
		uint64_t vaddr = hits->items[i].hit.vaddr;

		/* Sequences close to each other reach the same places. */
		if (i == 0 || vaddr - last > NEAR) {
			around_one(&a, vaddr);
			last = vaddr;
		}
	}
}
