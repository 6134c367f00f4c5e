/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting the runtime. Everything is undone in reverse order when a step fails; only the last step cannot fail.
 *
 * What is needed of monitor memory is allocated before keys_start tags it: from then on until it is attached the
 * calling thread has no rights to it.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <lychgate/scan.h>

#include "../code/code.h"
#include "../library/none.h"
#include "asm.h"
#include "binding.h"
#include "detect.h"
#include "keys.h"
#include "signal.h"
#include "task.h"
#include "thread.h"
#include "why.h"

#define WHY_BYTES 768

static __thread char why[WHY_BYTES];

void why_set(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(why, sizeof(why), format, ap);
	va_end(ap);
}

const char *lych_why(void)
{
	return why;
}

const char *lych_backend_name(void)
{
	if (NONE != NULL) {
		return "none";
	}
	if (!ROOT.ready) {
		return "";
	}
	return ROOT.backend == LYCH_PKU ? "pku" : "mprotect";
}

int lych_attach(void)
{
	struct thread *self;
	int rc = NONE != NULL ? 0 : ROOT.ready ? thread_self(&self) : -ENOSYS;

	return rc != 0 || NONE != NULL ? rc : thread_has_timer(self);
}

/* Options of another version of the header: members this one lacks must be zero, members it has in excess are. */
static int read_options(struct lych_init_opts *out, const struct lych_init_opts *opts)
{
	size_t bytes;

	*out = (struct lych_init_opts){.size = sizeof(*out)};
	if (opts == NULL) {
		return 0;
	}
	bytes = opts->size;
	if (bytes < sizeof(opts->size)) {
		why_set("lych_init_opts.size is %zu: fill it with LYCH_OPTS", bytes);
		return -EINVAL;
	}
	for (size_t i = sizeof(*out); i < bytes; i++) {
		if (((const unsigned char *)opts)[i] != 0) {
			why_set("an option is set that this version of the library does not know: use a newer library");
			return -EINVAL;
		}
	}
	memcpy(out, opts, bytes < sizeof(*out) ? bytes : sizeof(*out));
	if ((unsigned int)out->backend > LYCH_NONE) {
		why_set("lych_init_opts.backend is %u, which is no backend", (unsigned int)out->backend);
		return -EINVAL;
	}
	if ((unsigned int)out->code > LYCH_CODE_REPORT) {
		why_set("lych_init_opts.code is %u, which is nothing to do about code", (unsigned int)out->code);
		return -EINVAL;
	}
	return 0;
}

/* The environment can only demand more. */
static bool pku_demanded(void)
{
	const char *value = getenv("LYCH_REQUIRE_PKU");

	return value != NULL && value[0] != '\0' && strcmp(value, "0") != 0;
}

static int choose_backend(const struct lych_init_opts *opts, struct machine *m)
{
	enum lych_backend backend = opts->backend == LYCH_BACKEND_AUTO ? LYCH_PKU : opts->backend;

	if (backend != LYCH_PKU && pku_demanded()) {
		why_set("environment: LYCH_REQUIRE_PKU is set and the program asks for %s: unset it, or ask for LYCH_PKU",
			backend == LYCH_NONE ? "no isolation (LYCH_NONE)" : "the mprotect backend");
		return -EOPNOTSUPP;
	}
	ROOT.backend = backend;
	if (backend == LYCH_NONE) {
		return 0;
	}
	detect_machine(m);
	m->gates = (uint64_t)(uintptr_t)lych_gate_text;
	return detect_refusal(m, backend, why, sizeof(why));
}

static int fill_root(const struct lych_init_opts *opts, const struct machine *m)
{
	ROOT.scrub = m->cpu.scrub;
	ROOT.frame_bytes = m->frame_bytes;
	ROOT.xsave_pkru = m->cpu.xsave_pkru_at;
	/* Without keys every stack can be written. */
	ROOT.frames_whole = ROOT.backend != LYCH_PKU || m->frames.end == TRIAL_OK;
	ROOT.kick = SIGNAL_KICK;
	ROOT.on_fault = opts->on_fault;
	ROOT.on_fault_ctx = opts->on_fault_ctx;
	ROOT.report_host_faults = opts->report_host_faults;
	if (sys3(SYS_getrandom, &ROOT.kick_cookie, sizeof(ROOT.kick_cookie), 0) != sizeof(ROOT.kick_cookie)) {
		why_set("sandbox: getrandom is refused: allow it");
		return -EOPNOTSUPP;
	}
	return 0;
}

static int monitor_start(void)
{
	pthread_mutexattr_t attr;

	ROOT.monitor = monitor_alloc(sizeof(struct monitor));
	if (ROOT.monitor == NULL) {
		return -ENOMEM;
	}
	ROOT.fork_copy = monitor_alloc(sizeof(struct area));
	if (ROOT.fork_copy == NULL) {
		monitor_free(ROOT.monitor, sizeof(struct monitor));
		ROOT.monitor = NULL;
		return -ENOMEM;
	}
	pthread_mutexattr_init(&attr);
	pthread_mutex_init(&ROOT.monitor->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	atomic_store(&ROOT.monitor->ids, 2);
	return 0;
}

static void monitor_stop(void)
{
	monitor_free(ROOT.fork_copy, sizeof(struct area));
	monitor_free(ROOT.monitor, sizeof(struct monitor));
	ROOT.fork_copy = NULL;
	ROOT.monitor = NULL;
}

/* The root page, for reading only or as it was. */
static int seal(int prot)
{
	return mprotect(&lych_root_page, sizeof(lych_root_page), prot) == 0 ? 0 : -ENOMEM;
}

/* From here on nothing writes the root page. */
static int finish(void)
{
	struct thread *self;
	int rc;

	ROOT.ready = 1;
	rc = seal(PROT_READ);
	if (rc == 0) {
		rc = thread_self(&self);
		if (rc != 0 && seal(PROT_READ | PROT_WRITE) != 0) {
			/* Half started and not to be changed any more: nobody could say what holds. */
			__builtin_trap();
		}
	}
	if (rc != 0) {
		ROOT.ready = 0;
	} else {
		sys3(SYS_mseal, &lych_root_page, sizeof(lych_root_page), 0); /* where the kernel can (6.10) */
	}
	return rc;
}

static int code_start(const struct lych_init_opts *opts)
{
	enum lych_code mode = opts->code;

	if (mode == LYCH_CODE_AUTO) {
		if (ROOT.backend != LYCH_PKU) {
			return 0;
		}
		mode = LYCH_CODE_REPAIR;
	}
	return lych_code_start(mode, LYCH_POLICY_HOST, opts->on_code, opts->on_code_ctx);
}

static int start(const struct lych_init_opts *opts)
{
	struct machine m;
	int rc = choose_backend(opts, &m);

	if (rc == 0 && ROOT.backend == LYCH_NONE) {
		return none_start();
	}
	if (rc != 0 || (rc = code_start(opts)) != 0 || (rc = fill_root(opts, &m)) != 0 || (rc = monitor_start()) != 0) {
		return rc;
	}
	rc = bindings_start();
	if (rc != 0) {
		goto no_bindings;
	}
	rc = threads_start();
	if (rc != 0) {
		goto no_threads;
	}
	rc = signals_start();
	if (rc != 0) {
		goto no_signals;
	}
	rc = keys_start(opts->max_keys);
	if (rc != 0) {
		goto no_keys;
	}
	rc = finish();
	if (rc == 0) {
		return 0;
	}
	keys_stop();
no_keys:
	signals_stop();
no_signals:
	threads_stop();
no_threads:
	bindings_stop();
no_bindings:
	monitor_stop();
	return rc;
}

int lych_init(const struct lych_init_opts *opts)
{
	struct lych_init_opts known;
	int rc;

	if (ROOT.ready || NONE != NULL) {
		return -EALREADY;
	}
	task_start();
	why_set("%s", "");
	rc = read_options(&known, opts);
	if (rc != 0) {
		return rc;
	}
	rc = start(&known);
	if (rc != 0) {
		memset(&lych_root_page, 0, sizeof(lych_root_page));
	}
	if (rc == -ENOMEM && why[0] == '\0') {
		why_set("process: there is not enough memory or address space: raise the limit");
	}
	return rc;
}
