/* SPDX-License-Identifier: Apache-2.0 */
/* From facts to a verdict: do protection keys work, which layer refuses, what follows. Pure. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "probe.h"

#define SEGV_MAPERR_CODE 1
#define SEGV_ACCERR_CODE 2
#define SEGV_PKUERR_CODE 4
#define KEYS_NEEDED 3 /* two for the runtime and one for a first domain */

/* ---- the self-test in words ----------------------------------------------------------------- */

bool selftest_passed(const struct selftest *t)
{
	return t->end.kind == OUTCOME_OK && t->end.step == SELFTEST_DONE && t->faulted &&
	       t->fault_code == SEGV_PKUERR_CODE && t->fault_key == t->key && t->fault_addr_right &&
	       (t->smaps_key == t->key || t->smaps_key == SMAPS_UNREADABLE);
}

static const char *si_code_name(int code)
{
	switch (code) {
	case SEGV_MAPERR_CODE:
		return "SEGV_MAPERR (1)";
	case SEGV_ACCERR_CODE:
		return "SEGV_ACCERR (2)";
	case SEGV_PKUERR_CODE:
		return "SEGV_PKUERR (4)";
	default:
		return "another code";
	}
}

/* The experiment ran to its end, or to a step whose effect did not come. */
static void selftest_effect(char *dst, size_t size, const struct selftest *t)
{
	switch (t->end.step) {
	case SELFTEST_READ:
		snprintf(dst, size, "a page that may be read could not be read%s",
			 t->faulted ? "" : " back as written");
		return;
	case SELFTEST_WRITE:
		snprintf(dst, size, "writing to a page whose key denies it was not stopped");
		return;
	case SELFTEST_RETAG:
		snprintf(dst, size, "the page stayed protected after its key was taken off");
		return;
	default:
		break;
	}
	if (t->fault_code != SEGV_PKUERR_CODE) {
		snprintf(dst, size, "the fault came as %s, not as SEGV_PKUERR (4)",
			 si_code_name(t->fault_code));
	} else if (t->fault_key != t->key) {
		snprintf(dst, size, "the fault named key %d, not key %d", t->fault_key, t->key);
	} else if (!t->fault_addr_right) {
		snprintf(dst, size, "the fault named another address than the one written to");
	} else if (t->smaps_key == SMAPS_SHOWS_NONE) {
		snprintf(dst, size, "smaps shows no key for a page tagged with key %d", t->key);
	} else {
		snprintf(dst, size, "smaps shows key %d for a page tagged with key %d",
			 t->smaps_key, t->key);
	}
}

void selftest_text(char *dst, size_t size, const struct selftest *t)
{
	static const char *const steps[] = {
		[SELFTEST_MAP] = "mapping a page",
		[SELFTEST_ALLOC] = "pkey_alloc",
		[SELFTEST_TAG] = "pkey_mprotect",
		[SELFTEST_SMAPS] = "reading smaps",
		[SELFTEST_READ] = "reading the tagged page",
		[SELFTEST_WRITE] = "writing to the tagged page",
		[SELFTEST_RETAG] = "taking the key off the page",
		[SELFTEST_DONE] = "ending",
	};
	char how[64];

	if (selftest_passed(t)) {
		snprintf(dst, size,
			 "page tagged with key %d: read, write stopped by SEGV_PKUERR with key %d, "
			 "untagged, written%s",
			 t->key, t->fault_key,
			 t->smaps_key == SMAPS_UNREADABLE ? " (smaps could not be checked)" : "");
	} else if (t->end.kind == OUTCOME_OK || t->end.kind == OUTCOME_WRONG) {
		selftest_effect(dst, size, t);
	} else if (t->end.kind == OUTCOME_UNKNOWN) {
		snprintf(dst, size, "could not be tried: no child process");
	} else {
		bool known = t->end.step >= 0 && t->end.step <= SELFTEST_DONE;
		outcome_text(how, sizeof(how), &t->end);
		snprintf(dst, size, "%s: %s", known ? steps[t->end.step] : "?", how);
	}
}

/* ---- which layers refuse -------------------------------------------------------------------- */

/* Notes a layer. The advice is that of the check which found it, so that there is one wording. */
static void refuse(struct report *out, const char *layer, const char *check, const char *reason,
		   const char *advice)
{
	struct refusal *r;

	if (out->nrefusals == REFUSALS_MAX) {
		return;
	}
	r = &out->refusals[out->nrefusals++];
	*r = (struct refusal){.layer = layer};
	for (size_t i = 0; check != NULL && i < out->nchecks; i++) {
		if (strcmp(out->checks[i].id, check) == 0) {
			snprintf(r->reason, sizeof(r->reason), "%s", out->checks[i].fact);
			snprintf(r->advice, sizeof(r->advice), "%s", out->checks[i].advice);
		}
	}
	if (reason != NULL) {
		snprintf(r->reason, sizeof(r->reason), "%s", reason);
	}
	if (advice != NULL) {
		snprintf(r->advice, sizeof(r->advice), "%s", advice);
	}
}

/* pkey_alloc failed though CPU and kernel look right. */
static void refuse_alloc(struct report *out, const struct facts *f)
{
	char how[64], reason[128];

	outcome_text(how, sizeof(how), &f->keys);
	snprintf(reason, sizeof(reason), "pkey_alloc: %s", how);
	if (f->keys.kind == OUTCOME_ERRNO && f->keys.err == ENOSPC) {
		refuse(out, "keys", NULL, "every key is taken already",
		       "find out what in the process takes them: preloaded libraries first "
		       "(process.preload)");
	} else if (f->keys.kind == OUTCOME_ERRNO && f->keys.err == ENOSYS) {
		refuse(out, "kernel", NULL, reason,
		       "use a kernel from 4.9 on with CONFIG_X86_INTEL_MEMORY_PROTECTION_KEYS=y; "
		       "in a container, look at its seccomp profile and runtime");
	} else {
		refuse(out, f->keys.kind == OUTCOME_ERRNO ? "kernel" : "self-test", NULL, reason,
		       f->seccomp_mode == 2 ? "a seccomp filter is in force: try without it"
					    : "try another kernel, and outside of any sandbox");
	}
}

static bool kernel_is_broken(const struct facts *f)
{
	return !sandbox_is_kernel(f) && kernel_pku_sound(&f->kernel) == TRI_NO;
}

static void refuse_by_parts(struct report *out, const struct facts *f)
{
	bool cpu_known = f->cpuid.kind == OUTCOME_OK;
	bool hardware = !cpu_known || (f->cpu.pku && f->cpu.ospke);

	if (cpu_known && !f->cpu.pku) {
		refuse(out, "cpu", "cpu.pku", NULL, NULL);
	} else if (cpu_known && !f->cpu.ospke) {
		refuse(out, "kernel", "cpu.ospke", NULL, NULL);
	}
	if (kernel_is_broken(f)) {
		refuse(out, "kernel", "kernel.version", NULL, NULL);
	}
	if (sandbox_is_kernel(f)) {
		refuse(out, "sandbox", "sandbox.container", NULL, NULL);
	} else if (outcome_by_seccomp(f, &f->keys)) {
		char how[64], reason[160];
		outcome_text(how, sizeof(how), &f->keys);
		snprintf(reason, sizeof(reason), "a seccomp filter forbids pkey_alloc (%s)", how);
		refuse(out, "seccomp", "sandbox.seccomp", reason, NULL);
	} else if (hardware && f->keys.kind != OUTCOME_OK) {
		refuse_alloc(out, f);
	} else if (outcome_by_seccomp(f, &f->selftest.end)) {
		char how[160], reason[200];
		selftest_text(how, sizeof(how), &f->selftest);
		snprintf(reason, sizeof(reason), "a seccomp filter forbids it: %s", how);
		refuse(out, "seccomp", NULL, reason,
		       "allow pkey_alloc, pkey_free and pkey_mprotect in the seccomp profile");
	}
	if (out->nrefusals == 0) {
		refuse(out, "self-test", "selftest", NULL,
		       "this should not happen: please report it with the output of `lychgate "
		       "doctor --json`");
	}
}

/* ---- what the runtime could offer ----------------------------------------------------------- */

/* The first thing that in-image domains lack, or NULL. */
static const char *in_image_lacks(const struct report *r, const struct facts *f)
{
	if (!r->keys_work) {
		return "protection keys";
	}
	if (kernel_at_least(&f->kernel, 5, 13) == TRI_NO) {
		return "kernel 5.13 or later";
	}
	if (f->keys.value < KEYS_NEEDED) {
		return "three free keys";
	}
	if (f->sud.kind != OUTCOME_OK) {
		return "Syscall User Dispatch";
	}
	if (f->seccomp_install.kind != OUTCOME_OK) {
		return "seccomp filters";
	}
	if (f->hwcap_fsgsbase != TRI_YES) {
		return "FSGSBASE";
	}
	if (f->gs.kind == OUTCOME_OK && f->gs.value != 0) {
		return "a free gs base";
	}
	return NULL;
}

static const char *library_lacks(const struct report *r, const struct facts *f)
{
	const char *lack = in_image_lacks(r, f);

	if (lack != NULL) {
		return lack;
	}
	if (f->frames.kind != OUTCOME_OK &&
	    !(f->frames.kind == OUTCOME_UNKNOWN && kernel_at_least(&f->kernel, 6, 12) == TRI_YES)) {
		return "signal frames written with full rights (kernel 6.12 or later)";
	}
	if (f->exec_memory.kind != OUTCOME_OK) {
		return "private memory that can be made executable";
	}
	if (f->shstk.kind == OUTCOME_OK && (f->shstk.value & 1) != 0) {
		return "programs without shadow stacks";
	}
	return NULL;
}

static void offer(struct report *out, const char *id, const char *name, const char *needs,
		  const char *lack)
{
	struct offer *o = &out->offers[out->noffers++];

	*o = (struct offer){.id = id, .name = name, .needs = needs};
	snprintf(o->missing, sizeof(o->missing), "%s", lack != NULL ? lack : "");
}

void judge_verdict(struct report *out, const struct facts *f)
{
	out->nrefusals = 0;
	out->noffers = 0;
	if (!selftest_passed(&f->selftest)) {
		refuse_by_parts(out, f);
	} else if (kernel_is_broken(f)) {
		/* one thread, one moment: the test passes also where keys get mixed up later */
		refuse(out, "kernel", "kernel.version", NULL, NULL);
	}
	out->keys_work = out->nrefusals == 0;

	offer(out, "in_image_domains", "in-image domains",
	      "protection keys, kernel 5.13, Syscall User Dispatch, seccomp, FSGSBASE",
	      in_image_lacks(out, f));
	offer(out, "library_domains", "library domains", "the same, and kernel 6.12",
	      library_lacks(out, f));
	offer(out, "mprotect_backend", "mprotect backend",
	      "no keys (slow, and for the whole process)", NULL);
}
