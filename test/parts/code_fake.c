/* SPDX-License-Identifier: Apache-2.0 */
/* What gate/code/ needs of the rest of the runtime, and a planner that a test can make lie. */
#include "code_fake.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../core/asm.h"
#include "../core/why.h"

const uint8_t lych_note[1], lych_note_end[1];
char fake_why[1024];

int lych_pkey_set(int key, unsigned int rights)
{
	return key + (int)rights;
}

void (*fake_lie)(struct plan *plan);

/* gate/code/plan.c, under another name */
int planner_plan_make(struct plan *plan);

int plan_make(struct plan *plan)
{
	int rc = planner_plan_make(plan);

	if (rc == 0 && fake_lie != NULL) {
		fake_lie(plan);
	}
	return rc;
}

bool fake_lists_nothing;

int dl_iterate_phdr(int (*fn)(struct dl_phdr_info *info, size_t bytes, void *ctx), void *ctx)
{
	static int (*glibc)(int (*)(struct dl_phdr_info *, size_t, void *), void *);

	if (fake_lists_nothing) {
		return 0;
	}
	if (glibc == NULL) {
		*(void **)&glibc = dlsym(RTLD_NEXT, "dl_iterate_phdr");
	}
	return glibc(fn, ctx);
}

void why_set(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(fake_why, sizeof(fake_why), format, ap);
	va_end(ap);
}

/* clone returns twice: in the same frame, which syscall() does not leave before. */
long lych_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
	long rc = syscall(nr, a, b, c, d, e, f);

	return rc == -1 ? -errno : rc;
}
