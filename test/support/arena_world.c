/* SPDX-License-Identifier: Apache-2.0 */
#include "arena_world.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "../../gate/core/asm.h"
#include "../../gate/core/keys.h"
#include "../../gate/library/arena_parts.h"

struct library *arena_world_new(struct lych_domain *d, uint64_t bytes, uint64_t limit, int *rc)
{
	struct library *l = monitor_alloc(sizeof(*l));

	l->domain = d;
	*rc = arena_new(l, bytes, limit, (int)d->key);
	if (*rc != 0) {
		monitor_free(l, sizeof(*l));
		return NULL;
	}
	return l;
}

void arena_world_free(struct library *l)
{
	arena_free(l);
	monitor_free(l, sizeof(*l));
}

void arena_world_known(struct library *l, bool known)
{
	pthread_mutex_lock(&ROOT.monitor->lock);
	l->domain->library = known ? l : NULL;
	pthread_mutex_unlock(&ROOT.monitor->lock);
}

uint64_t arena_world_start(const struct library *l)
{
	return l->start;
}

uint64_t arena_world_end(const struct library *l)
{
	return l->end;
}

const struct space *arena_world_space(const struct library *l)
{
	return &l->arena->space;
}

int arena_world_key(const struct library *l)
{
	return (int)l->domain->key;
}

bool arena_world_poisoned(const struct library *l)
{
	return atomic_load(&l->domain->id) == 0;
}

void arena_world_freeze(struct library *l)
{
	arena_freeze(l);
}

long arena_world_door(struct library *l, uint64_t at, const void *content, uint64_t bytes)
{
	long fd = sys2(SYS_memfd_create, "code", 0), got = -EIO;

	if (fd >= 0 && sys3(SYS_write, fd, content, bytes) == (long)bytes) {
		got = sys6(SYS_mmap, (long)at, (long)bytes, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, 0);
	}
	sys1(SYS_close, fd);
	return got == (long)at ? ledger_tag(at, bytes, (int)l->domain->key, PROT_READ | PROT_EXEC) : got;
}
