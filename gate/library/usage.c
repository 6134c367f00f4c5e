/* SPDX-License-Identifier: Apache-2.0 */
/* What a library domain uses: for lychgate try, and for who sets limits. */
#include <errno.h>

#include <lychgate/library.h>
#include <lychgate/policy.h>

#include "../core/keys.h"
#include "../core/thread.h"
#include "arena.h"
#include "library.h"
#include "none.h"
#include "rules.h"

const char *lych_call_name(long nr)
{
	return rules_call_name(nr);
}

bool lych_call_allowable(long nr)
{
	return rules_call_allowable(nr);
}

int lych_library_usage(struct lych_domain *domain, struct lych_usage *out)
{
	struct library *l;
	struct thread *self;
	int rc = out == NULL || domain == NULL || NONE != NULL ? -EINVAL : thread_self(&self);

	if (rc != 0) {
		return rc;
	}
	l = domain->library;
	if (l == NULL) {
		return -EINVAL;
	}
	*out = (struct lych_usage){.threads = contexts_own(l), .threads_made = atomic_load(&l->threads_made)};
	arena_usage(l, &out->used_bytes, &out->limit_bytes);
	arena_mapped(l, &out->mapped_bytes, &out->code_bytes);
	for (size_t i = 0; i < LYCH_USAGE_CALLS; i++) {
		out->calls[i] = atomic_load_explicit(&l->calls[i], memory_order_relaxed);
	}
	return 0;
}
