/* SPDX-License-Identifier: Apache-2.0 */
/* A domain for the mediator without the rest of the runtime. In C, as the runtime's structs hold C atomics. */
#ifndef MEDIATOR_FAKE_H
#define MEDIATOR_FAKE_H

#include <lychgate/policy.h>

LYCH_BEGIN_DECLS

enum fake_kind { FAKE_CONTAIN, FAKE_PURE, FAKE_NO_KEY_0 };

/* A fresh domain whose own memory is [own, own + bytes); everything else has key 0 until fake_key. */
struct lych_domain *fake_domain(enum fake_kind kind, void *own, size_t bytes);
void fake_key(const void *page, int key); /* the page is another owner's */
void fake_cancel(int err);                /* of the running call; 0: not canceled */
void fake_poison(void);
void fake_deadline(uint64_t ns);
void fake_mask(uint64_t mask); /* signals the interrupted context has blocked */

struct fake_answer {
	int end; /* enum mediated_end */
	long result;
};
struct fake_answer fake_call(long nr, const uint64_t arg[6]);
struct fake_answer fake_foreign_call(long nr);

LYCH_END_DECLS

#endif
