/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger of keyed memory.
 *
 * Two tables. A change is written to the one that is not in use, which then takes the other's place, so that the one
 * in use is whole at every instruction: a report made in a signal handler may have interrupted a change on its own
 * thread and cannot wait for it. A reader that was overtaken by two changes finds the sequence number of its table
 * changed and reads again.
 */
#include "ranges.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "../core/asm.h"
#include "../core/keys.h"

#define FIRST_TABLE_BYTES (4 * LYCH_PAGE)

struct ledger_table {
	_Atomic uint64_t sequence; /* odd: being written */
	_Atomic uint64_t count;
	uint64_t room;  /* never changes */
	uint64_t bytes; /* of the table */
	struct key_range range[];
};

struct ledger {
	pthread_mutex_t lock;
	struct ledger_table *_Atomic active;
	struct ledger_table *spare;
};

static struct ledger *ledger(void)
{
	return ROOT.monitor->ledger;
}

static bool is_pages(uint64_t at, uint64_t bytes)
{
	return at % LYCH_PAGE == 0 && bytes % LYCH_PAGE == 0 && bytes != 0 && at + bytes > at;
}

static void table_init(struct ledger_table *table, size_t bytes)
{
	table->bytes = bytes;
	table->room = (bytes - sizeof(*table)) / sizeof(table->range[0]);
}

int ledger_tag(uint64_t at, uint64_t bytes, int key, int prot)
{
	if (ROOT.backend == LYCH_PKU) {
		return (int)sys4(SYS_pkey_mprotect, at, bytes, prot, key);
	}
	return (int)sys3(SYS_mprotect, at, bytes, prot);
}

/* Makes the change in the spare table and puts it in use. The caller has checked that there is room. */
static void change(struct ledger *l, uint64_t at, uint64_t end, int key, int prot)
{
	struct ledger_table *from = atomic_load(&l->active), *to = l->spare;
	size_t count;

	atomic_fetch_add(&to->sequence, 1);
	atomic_thread_fence(memory_order_seq_cst);
	count = ranges_set(to->range, from->range, atomic_load(&from->count), at, end, key, prot);
	atomic_store(&to->count, count);
	atomic_fetch_add(&to->sequence, 1);
	atomic_store(&l->active, to);
	l->spare = from;
}

/* A table of twice the size, mapped and tagged without the ledger, which cannot grow while it grows. */
static struct ledger_table *bigger(const struct ledger_table *than)
{
	size_t bytes = than->bytes * 2;
	void *at = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED) {
		return NULL;
	}
	if (ledger_tag((uint64_t)at, bytes, (int)ROOT.monitor_key, PROT_READ | PROT_WRITE) != 0) {
		munmap(at, bytes);
		return NULL;
	}
	table_init(at, bytes);
	return at;
}

/*
 * Room for one more change. The old tables stay mapped: somebody may still read them, and together they are no
 * larger than the new ones.
 */
static int make_room(struct ledger *l)
{
	struct ledger_table *active = atomic_load(&l->active), *first, *second;

	if (atomic_load(&active->count) + 2 <= active->room) {
		return 0;
	}
	first = bigger(active);
	second = first != NULL ? bigger(active) : NULL;
	if (second == NULL) {
		if (first != NULL) {
			munmap(first, active->bytes * 2);
		}
		return -ENOMEM;
	}
	l->spare = first;
	change(l, (uint64_t)first, (uint64_t)first + first->bytes, (int)ROOT.monitor_key, PROT_READ | PROT_WRITE);
	l->spare = second;
	change(l, (uint64_t)second, (uint64_t)second + second->bytes, (int)ROOT.monitor_key, PROT_READ | PROT_WRITE);
	return 0;
}

int ledger_start(void)
{
	struct ledger *l = monitor_alloc(sizeof(*l));
	struct ledger_table *first = monitor_alloc(FIRST_TABLE_BYTES), *second = monitor_alloc(FIRST_TABLE_BYTES);

	if (l == NULL || first == NULL || second == NULL) {
		monitor_free(l, sizeof(*l));
		monitor_free(first, FIRST_TABLE_BYTES);
		monitor_free(second, FIRST_TABLE_BYTES);
		return -ENOMEM;
	}
	pthread_mutex_init(&l->lock, NULL);
	table_init(first, FIRST_TABLE_BYTES);
	table_init(second, FIRST_TABLE_BYTES);
	atomic_store(&l->active, first);
	l->spare = second;
	ROOT.monitor->ledger = l;
	return 0;
}

void ledger_stop(void)
{
	struct ledger *l = ledger();
	struct ledger_table *active = atomic_load(&l->active), *spare = l->spare;

	ROOT.monitor->ledger = NULL;
	monitor_free(active, active->bytes);
	monitor_free(spare, spare->bytes);
	monitor_free(l, sizeof(*l));
}

int ledger_record(void *at, size_t bytes, int key, int prot)
{
	struct ledger *l = ledger();
	int rc;

	pthread_mutex_lock(&l->lock);
	rc = make_room(l);
	if (rc == 0) {
		change(l, (uint64_t)at, (uint64_t)at + bytes, key, prot);
	}
	pthread_mutex_unlock(&l->lock);
	return rc;
}

/* Does a byte of [at, end) lie in a range? */
static bool touches(const struct ledger_table *table, uint64_t at, uint64_t end)
{
	size_t count = atomic_load(&table->count), i = ranges_find(table->range, count, at);

	return i < count && table->range[i].at < end;
}

int ledger_add(void *at, size_t bytes, int key, int prot)
{
	struct ledger *l = ledger();
	uint64_t from = (uint64_t)at;
	int rc;

	if (!is_pages(from, bytes) || key <= 0 || key >= KEYS) {
		return -EINVAL;
	}
	pthread_mutex_lock(&l->lock);
	rc = make_room(l);
	if (rc == 0 && touches(atomic_load(&l->active), from, from + bytes)) {
		rc = -EINVAL;
	}
	if (rc == 0) {
		rc = ledger_tag(from, bytes, key, prot == RANGE_ANY ? PROT_NONE : prot) != 0 ? -ENOMEM : 0;
	}
	if (rc == 0) {
		change(l, from, from + bytes, key, prot);
	}
	pthread_mutex_unlock(&l->lock);
	return rc;
}

int ledger_change(void *at, size_t bytes, int prot)
{
	struct ledger *l = ledger();
	struct ledger_table *table;
	uint64_t from = (uint64_t)at;
	int rc, key;

	if (!is_pages(from, bytes)) {
		return -EINVAL;
	}
	pthread_mutex_lock(&l->lock);
	rc = make_room(l);
	table = atomic_load(&l->active);
	key = ranges_key_of(table->range, atomic_load(&table->count), from, from + bytes);
	if (rc == 0 && key == RANGE_GONE) {
		rc = -EINVAL;
	}
	if (rc == 0) {
		rc = ledger_tag(from, bytes, key, prot) != 0 ? -ENOMEM : 0;
	}
	if (rc == 0) {
		change(l, from, from + bytes, key, prot);
	}
	pthread_mutex_unlock(&l->lock);
	return rc;
}

void ledger_remove(void *at, size_t bytes)
{
	struct ledger *l = ledger();
	uint64_t from = (uint64_t)at;

	if (!is_pages(from, bytes)) {
		return;
	}
	pthread_mutex_lock(&l->lock);
	/* Not forgotten unless it is gone (a mapping may be sealed), and not when the list cannot be split for want
	 * of memory: then lych_verify names what is missing, which is the truth. */
	if (sys2(SYS_munmap, from, bytes) == 0 && make_room(l) == 0) {
		change(l, from, from + bytes, RANGE_GONE, 0);
	}
	pthread_mutex_unlock(&l->lock);
}

int ledger_forget(void *at, size_t bytes)
{
	struct ledger *l = ledger();
	int rc;

	pthread_mutex_lock(&l->lock);
	rc = make_room(l);
	if (rc == 0) {
		change(l, (uint64_t)at, (uint64_t)at + bytes, RANGE_GONE, 0);
	}
	pthread_mutex_unlock(&l->lock);
	return rc;
}

/* Takes the key from every page there is in [at, end). Somebody may have unmapped some: that is no failure. */
static int untag(uint64_t at, uint64_t end)
{
	int rc = 0;

	if (ledger_tag(at, end - at, 0, PROT_NONE) == 0) {
		return 0;
	}
	for (; at < end; at += LYCH_PAGE) {
		int page = ledger_tag(at, LYCH_PAGE, 0, PROT_NONE);

		if (page != 0 && page != -ENOMEM) {
			rc = -EIO;
		}
	}
	return rc;
}

int ledger_retire(int key)
{
	struct ledger *l = ledger();
	int rc = 0;

	pthread_mutex_lock(&l->lock);
	for (size_t i = 0;;) {
		struct ledger_table *table = atomic_load(&l->active);
		struct key_range r;

		if (i == atomic_load(&table->count)) {
			break;
		}
		r = table->range[i];
		if (r.key != key) {
			i++;
		} else if (untag(r.at, r.end) != 0) {
			rc = -EIO;
			i++;
		} else { /* a whole range: the list gets shorter, no room is needed */
			change(l, r.at, r.end, RANGE_GONE, 0);
		}
	}
	pthread_mutex_unlock(&l->lock);
	return rc;
}

int ledger_key_of(const void *at)
{
	struct ledger *l = ROOT.monitor != NULL ? ledger() : NULL;
	uint64_t address = (uint64_t)at;

	if (l == NULL) {
		return -1;
	}
	for (;;) {
		struct ledger_table *table = atomic_load(&l->active);
		uint64_t sequence = atomic_load(&table->sequence), count = atomic_load(&table->count);
		int key = -1;

		if ((sequence & 1) == 0) {
			size_t i = ranges_find(table->range, count, address);

			if (i < count && __atomic_load_n(&table->range[i].at, __ATOMIC_RELAXED) <= address) {
				key = __atomic_load_n(&table->range[i].key, __ATOMIC_RELAXED);
			}
			atomic_thread_fence(memory_order_seq_cst);
			if (atomic_load(&table->sequence) == sequence) {
				return key;
			}
		}
	}
}

void ledger_freeze(void)
{
	pthread_mutex_lock(&ledger()->lock);
}

void ledger_thaw(void)
{
	pthread_mutex_unlock(&ledger()->lock);
}

const struct key_range *ledger_ranges(size_t *count)
{
	struct ledger_table *table = atomic_load(&ledger()->active);

	*count = atomic_load(&table->count);
	return table->range;
}
