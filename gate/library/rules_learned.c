/* SPDX-License-Identifier: Apache-2.0 */
/* What a report run learns of files: as few lines as say it, and no more than they say. */
#include <string.h>

#include "rules.h"

static const struct rules_learned *there(const struct rules *r, size_t i)
{
	return __atomic_load_n(&r->learned_paths[i].state, __ATOMIC_ACQUIRE) == 2 ? &r->learned_paths[i] : NULL;
}

static bool is_passing(const struct rules_learned *e)
{
	return __atomic_load_n(&e->passing, __ATOMIC_RELAXED) != 0;
}

/* Is what path, which leads to real, names allowed by allowing e? A link out of a directory is not. */
static bool covers(const struct rules_learned *e, const char *path, const char *real)
{
	const char *rest;

	return !is_passing(e) && rules_beneath(path, e->path, &rest) && *rest != '\0' &&
	       (rules_beneath(real, e->path, &rest) || rules_beneath(real, e->real, &rest));
}

/* May what e names be looked at because of what is allowed beneath it? */
static bool is_on_the_way(const struct rules *r, const struct rules_learned *e)
{
	const char *rest;

	for (uint32_t i = 0; i < r->npaths; i++) {
		if (rules_beneath(r->text + r->paths[i].at, e->path, &rest)) {
			return true;
		}
	}
	for (size_t i = 0; i < RULES_LEARNED; i++) {
		const struct rules_learned *other = there(r, i);
		if (other != NULL && other != e && rules_beneath(other->path, e->path, &rest)) {
			return true;
		}
	}
	return false;
}

bool rules_is_learned(const struct rules *r, size_t i)
{
	const struct rules_learned *e = there(r, i);
	bool in_directory = false, real_named = false;
	const char *rest;

	if (e == NULL || (is_passing(e) && is_on_the_way(r, e))) {
		return false;
	}
	for (size_t k = 0; k < RULES_LEARNED; k++) {
		const struct rules_learned *other = there(r, k);
		if (other == NULL || other == e || is_passing(other)) {
			continue;
		}
		if (covers(other, e->path, e->real)) {
			return false;
		}
		/* A link in one, to what is allowed by its own name. */
		in_directory = in_directory || (rules_beneath(e->path, other->path, &rest) && *rest != '\0');
		real_named = real_named || rules_beneath(e->real, other->path, &rest);
	}
	return !in_directory || !real_named;
}

void rules_learn_path(struct rules *r, const char *path, const char *real, bool passing)
{
	size_t bytes = strlen(path) + 1, real_bytes = strlen(real) + 1;

	if (bytes > RULES_LEARNED_BYTES || real_bytes > RULES_LEARNED_BYTES || !rules_can_be_written(path)) {
		return;
	}
	for (size_t i = 0; i < RULES_LEARNED; i++) {
		struct rules_learned *e = &r->learned_paths[i];
		uint32_t state = 0;
		if (__atomic_compare_exchange_n(&e->state, &state, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)) {
			memcpy(e->path, path, bytes);
			memcpy(e->real, real, real_bytes);
			e->passing = passing;
			__atomic_store_n(&e->state, 2, __ATOMIC_RELEASE);
			return;
		}
		if (state == 2 && strcmp(e->path, path) == 0) {
			if (!passing) {
				__atomic_store_n(&e->passing, 0, __ATOMIC_RELAXED);
			}
			return;
		}
		if (state == 2 && covers(e, path, real)) {
			return;
		}
	}
	__atomic_store_n(&r->learned_more, true, __ATOMIC_RELAXED);
}
