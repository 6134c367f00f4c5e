/* SPDX-License-Identifier: Apache-2.0 */
/* Who has which protection key. */
#include "keys.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "../memory/ranges.h"
#include "asm.h"
#include "thread.h"
#include "why.h"

#define NAME_BYTES 40
#define FEWEST_KEYS 3 /* two of the runtime, and one to do something with */
#define DISABLE_ACCESS 1
#define PKRU_OF_THE_KERNEL 0x55555554u /* what the kernel starts a process with */

struct key_table {
	unsigned int max, held;
	_Atomic uint32_t ours; /* keys_ours_bits */
	struct {
		_Atomic uint32_t owner; /* enum key_owner */
		_Atomic char name[NAME_BYTES]; /* the last byte stays 0: a reader may see half a change */
	} key[KEYS];
};

static _Atomic uint32_t ours_seen;
static _Atomic uint32_t hosts; /* the host's own keys, bit k for key k; of weight to nobody else */

static struct key_table *table(void)
{
	return ROOT.monitor->keys;
}

const _Atomic uint32_t *keys_ours_bits(void)
{
	return &table()->ours;
}

uint32_t keys_ours_seen(void)
{
	return atomic_load(&ours_seen);
}

void keys_host_takes(int key)
{
	atomic_fetch_or(&hosts, 1u << key);
}

void keys_host_frees(int key)
{
	atomic_fetch_and(&hosts, ~(1u << key));
}

/* From here on the host gets no right to it. */
static void claim(struct key_table *t, int key)
{
	if (ROOT.backend == LYCH_PKU) {
		atomic_fetch_or(&t->ours, VIEW_BITS(key));
		atomic_store(&ours_seen, t->ours);
	}
	keys_host_frees(key);
}

/* Before it is freed, so that its next owner finds nothing left. */
static void disclaim(struct key_table *t, int key)
{
	atomic_fetch_and(&t->ours, ~VIEW_BITS(key));
	atomic_store(&ours_seen, t->ours);
}

/*
 * The kernel writes the bits of the new key into the caller's PKRU: access is denied from the first moment. Not
 * through libc, whose wrapper sets errno and may be somebody else's.
 */
static int alloc_denied(void)
{
	return (int)sys2(SYS_pkey_alloc, 0, DISABLE_ACCESS);
}

static void free_raw(int key)
{
	if (ROOT.backend == LYCH_PKU) {
		sys1(SYS_pkey_free, key);
	}
}

static void own(struct key_table *t, int key, enum key_owner owner, const char *name)
{
	size_t i = 0;

	for (; i + 1 < NAME_BYTES && name[i] != '\0'; i++) {
		atomic_store(&t->key[key].name[i], name[i]);
	}
	atomic_store(&t->key[key].name[i], '\0');
	atomic_store(&t->key[key].owner, owner);
}

/* All that are free, denied; which, as a set. */
static int take_all(uint32_t *taken)
{
	*taken = 0;
	if (ROOT.backend != LYCH_PKU) {
		*taken = 0xfffe;
		return 15;
	}
	for (int count = 0;; count++) {
		int key = alloc_denied();

		if (key > 0 && key < KEYS) {
			*taken |= 1u << key;
		} else if (key >= 0 || key == -ENOSPC || count > 0) {
			return count;
		} else {
			why_set("the kernel, or a sandbox before it, refuses pkey_alloc (error %d)", -key);
			return -EOPNOTSUPP;
		}
	}
}

static void free_set(uint32_t keys)
{
	for (int key = 1; key < KEYS; key++) {
		if ((keys >> key & 1) != 0) {
			free_raw(key);
		}
	}
}

static int lowest(uint32_t keys)
{
	return __builtin_ctz(keys);
}

static void untag_early(size_t count)
{
	for (size_t i = 0; i < count; i++) {
		size_t bytes;
		void *at = monitor_early_block(i, &bytes);

		ledger_tag((uint64_t)at, bytes, 0, PROT_READ | PROT_WRITE);
	}
}

/* Everything is recorded before the first block is tagged: the ledger is among them. */
static int tag_early(void)
{
	size_t count = monitor_early_blocks(), bytes;

	for (size_t i = 0; i < count; i++) {
		void *at = monitor_early_block(i, &bytes);

		if (ledger_record(at, bytes, (int)ROOT.monitor_key, PROT_READ | PROT_WRITE) != 0) {
			return -ENOMEM;
		}
	}
	for (size_t i = 0; i < count; i++) {
		void *at = monitor_early_block(i, &bytes);

		if (ledger_tag((uint64_t)at, bytes, (int)ROOT.monitor_key, PROT_READ | PROT_WRITE) != 0) {
			untag_early(i);
			return -ENOMEM;
		}
	}
	return 0;
}

int keys_start(unsigned int max_keys)
{
	uint32_t pkru = ROOT.backend == LYCH_PKU ? lych_pkru_read_pku() : PKRU_OF_THE_KERNEL, taken;
	struct key_table *t;
	int free_keys;

	if (max_keys != 0 && max_keys < FEWEST_KEYS) {
		why_set("max_keys is %u, and %d protection keys are needed", max_keys, FEWEST_KEYS);
		return -ENOSPC;
	}
	free_keys = take_all(&taken);
	if (free_keys < 0) {
		return free_keys;
	}
	if (free_keys < FEWEST_KEYS) {
		free_set(taken);
		why_set("only %d of the %d protection keys that are needed are free: the rest is held by others in "
			"this process", free_keys, FEWEST_KEYS);
		return -ENOSPC;
	}
	t = monitor_alloc(sizeof(*t));
	if (t == NULL || ledger_start() != 0) {
		goto no_memory;
	}
	t->max = max_keys == 0 ? KEYS : max_keys;
	t->held = 2;
	atomic_store(&hosts, ~taken);
	ROOT.monitor_key = (uint32_t)lowest(taken);
	ROOT.gate_key = (uint32_t)lowest(taken & (taken - 1));
	own(t, (int)ROOT.monitor_key, OWNER_MONITOR, "monitor");
	own(t, (int)ROOT.gate_key, OWNER_GATE, "gate");
	claim(t, (int)ROOT.monitor_key);
	claim(t, (int)ROOT.gate_key);
	ROOT.monitor->keys = t;
	ROOT.host_view = keys_host_view(pkru);
	free_set(taken & ~(1u << ROOT.monitor_key | 1u << ROOT.gate_key));
	taken = 1u << ROOT.monitor_key | 1u << ROOT.gate_key;
	if (tag_early() == 0) {
		return 0;
	}
	ROOT.monitor_key = 0;
	ROOT.gate_key = 0;
	ROOT.monitor->keys = NULL;
	ledger_stop();
no_memory:
	atomic_store(&ours_seen, 0);
	free_set(taken);
	monitor_free(t, sizeof(*t));
	why_set("out of memory");
	return -ENOMEM;
}

void keys_stop(void)
{
	uint32_t keys = 1u << ROOT.monitor_key | 1u << ROOT.gate_key;
	const struct key_range *ranges;
	size_t count;

	/* What was there first: the ledger is readable then, whatever rights this thread has, unless it has grown. */
	untag_early(monitor_early_blocks());
	ranges = ledger_ranges(&count);
	for (size_t i = 0; i < count; i++) {
		ledger_tag(ranges[i].at, ranges[i].end - ranges[i].at, 0, PROT_READ | PROT_WRITE);
	}
	ROOT.monitor_key = 0;
	ROOT.gate_key = 0;
	ledger_stop();
	atomic_store(&ours_seen, 0);
	monitor_free(ROOT.monitor->keys, sizeof(struct key_table));
	ROOT.monitor->keys = NULL;
	free_set(keys);
}

static uint32_t keys_of(const struct key_table *t, uint32_t owners)
{
	uint32_t keys = 0;

	for (int key = 1; key < KEYS; key++) {
		if ((owners >> atomic_load(&t->key[key].owner) & 1) != 0) {
			keys |= 1u << key;
		}
	}
	return keys;
}

uint32_t keys_host_view(uint32_t pkru)
{
	uint32_t closed = keys_of(table(), 1u << OWNER_VAULT | 1u << OWNER_REGION | 1u << OWNER_RETIRED) |
			  (keys_of(table(), 1u << OWNER_FREE) & ~atomic_load(&hosts));

	return view_of_host(pkru, (int)ROOT.monitor_key, (int)ROOT.gate_key,
			    keys_of(table(), 1u << OWNER_DOMAIN), closed);
}

uint32_t keys_not_foreign(void)
{
	uint32_t bits = 0, keys = keys_of(table(), ~(1u << OWNER_MONITOR | 1u << OWNER_GATE)) & ~atomic_load(&hosts);

	for (int key = 1; key < KEYS; key++) {
		bits |= (keys >> key & 1) != 0 ? VIEW_BITS(key) : 0;
	}
	return bits;
}

uint32_t keys_ours(void)
{
	return ROOT.monitor == NULL || table() == NULL
		       ? 0
		       : keys_of(table(), ~(1u << OWNER_FREE));
}

static bool is_ours(const struct key_table *t, int key)
{
	return atomic_load(&t->key[key].owner) != OWNER_FREE;
}

/* A key from the kernel that the table does not have as ours. */
static int take_pku(struct key_table *t)
{
	for (;;) {
		int key = alloc_denied();

		if (key <= 0 || key >= KEYS) {
			return -ENOSPC;
		}
		if (key == (int)ROOT.monitor_key || key == (int)ROOT.gate_key) {
			__builtin_trap(); /* somebody has freed it: any page of theirs could be on it by now */
		}
		if (!is_ours(t, key)) {
			return key;
		}
		/* Somebody has freed a key of ours, and this has taken it back: it stays with its owner. */
		if (atomic_load(&t->key[key].owner) == OWNER_DOMAIN) {
			(void)!threads_allow(key); /* who does not answer follows later */
		}
	}
}

static int take_number(struct key_table *t)
{
	for (int key = 1; key < KEYS; key++) {
		if (!is_ours(t, key)) {
			return key;
		}
	}
	return -ENOSPC;
}

int keys_take(int *key, enum key_owner owner, const char *name)
{
	struct key_table *t = table();
	int taken;

	if (t->held >= t->max) {
		return -ENOSPC;
	}
	taken = ROOT.backend == LYCH_PKU ? take_pku(t) : take_number(t);
	if (taken < 0) {
		return taken;
	}
	/* Whoever had this number before may have left rights on other threads. */
	claim(t, taken);
	if (!threads_shoot_down(taken)) {
		disclaim(t, taken);
		free_raw(taken); /* nobody's, as it was: another would be no better, and it is asked again next time */
		why_set("a thread does not answer (it blocks every signal, or is stopped), or threads cannot be listed because "
			"/proc is not mounted");
		return -EBUSY;
	}
	own(t, taken, owner, name);
	t->held++;
	*key = taken;
	return 0;
}

void keys_give_back(int key)
{
	struct key_table *t = table();

	if (ledger_retire(key) != 0) {
		/* A page still has it. Freed, it would go to somebody who does not expect that page. */
		own(t, key, OWNER_RETIRED, "");
		(void)!threads_shoot_down(key);
		return;
	}
	/* First nobody's, so that whoever attaches now does not get it; then denied; then free. */
	own(t, key, OWNER_FREE, "");
	if (!threads_shoot_down(key)) {
		own(t, key, OWNER_RETIRED, "");
		return;
	}
	t->held--;
	disclaim(t, key);
	free_raw(key);
}

void keys_owner_name(int key, char *out, size_t size)
{
	const struct key_table *t = ROOT.monitor != NULL ? table() : NULL;
	const char *prefix = "";
	size_t used = 0;

	if (size == 0) {
		return;
	}
	if (key == 0) {
		prefix = "host";
	} else if (t != NULL && key > 0 && key < KEYS && atomic_load(&t->key[key].owner) == OWNER_REGION) {
		prefix = "region ";
	}
	for (; *prefix != '\0' && used + 1 < size; prefix++) {
		out[used++] = *prefix;
	}
	if (t != NULL && key > 0 && key < KEYS) {
		for (size_t i = 0; i < NAME_BYTES && used + 1 < size; i++) {
			char c = atomic_load(&t->key[key].name[i]);

			if (c == '\0') {
				break;
			}
			out[used++] = c;
		}
	}
	out[used] = '\0';
}
