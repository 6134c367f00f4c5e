/* SPDX-License-Identifier: Apache-2.0 */
/* Library domains: lych_open, lych_load, lych_symbol. */
#include <errno.h>

#include "../core/thread.h"
#include "../core/why.h"
#include "library.h"
#include "none.h"

int lych_open(struct lych_domain **out, const char *library, const struct lych_library_opts *opts)
{
	struct thread *self;
	int rc;

	if (out == NULL) {
		return -EINVAL;
	}
	*out = NULL;
	if (NONE != NULL) {
		return NONE->open(out, library, opts);
	}
	rc = thread_self(&self);
	if (rc == 0) {
		why_set("backend %s: library domains are there with LYCH_NONE only", lych_backend_name());
		rc = -EOPNOTSUPP;
	}
	return rc;
}

int lych_load(struct lych_domain *domain, const char *library)
{
	return NONE != NULL ? NONE->load(domain, library) : -EINVAL;
}

int lych_symbol(struct lych_domain *domain, void **out, const char *name, const char *version)
{
	if (out == NULL) {
		return -EINVAL;
	}
	*out = NULL;
	return NONE != NULL ? NONE->symbol(domain, out, name, version) : -EINVAL;
}
