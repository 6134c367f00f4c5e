/* SPDX-License-Identifier: Apache-2.0 */
#include "init_fake.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <lychgate/scan.h>

#include "../code/code.h"
#include "../library/none.h"
#include "asm.h"
#include "binding.h"
#include "keys.h"
#include "signal.h"
#include "task.h"
#include "thread.h"

union lych_root_page lych_root_page __attribute__((aligned(LYCH_PAGE)));
char fake_log[1024];
struct machine fake_machine;
static const char *failing = "";
static int failing_err;
static size_t monitor_bytes;

void fake_fail(const char *name, int err)
{
	failing = name;
	failing_err = err;
}

struct machine fake_good(void)
{
	struct machine m = {
		.cpu = {.ospke = true, .pku = true, .xsave_pkru = true, .xsave_pkru_at = 2432, .scrub = SCRUB_AVX512},
		.fsgsbase = true,
		.frame_bytes = 3632,
		.dispatch = {.end = TRIAL_OK},
		.filter = {.end = TRIAL_OK},
		.keys = {.end = TRIAL_OK},
		.frames = {.end = TRIAL_OK},
	};

	return m;
}

size_t fake_monitor_bytes(void)
{
	return monitor_bytes;
}

struct fake_root fake_look(void)
{
	static const union lych_root_page zero;
	int fd = open("/dev/zero", O_RDONLY);
	struct fake_root r = {
		.scrub = ROOT.scrub,
		.backend = ROOT.backend,
		.frame_bytes = ROOT.frame_bytes,
		.xsave_pkru = ROOT.xsave_pkru,
		.frames_whole = ROOT.frames_whole,
		.kick = ROOT.kick,
		.ready = ROOT.ready,
		.report_host_faults = ROOT.report_host_faults,
		.cookie = ROOT.kick_cookie,
		.ids = ROOT.monitor != NULL ? ROOT.monitor->ids : 0,
		.monitor = ROOT.monitor != NULL,
		.fork_copy = ROOT.fork_copy != NULL,
		.zero = memcmp(&lych_root_page, &zero, sizeof(zero)) == 0,
		.on_fault_ctx = ROOT.on_fault_ctx,
	};

	if (ROOT.monitor != NULL) {
		r.lock_works = pthread_mutex_lock(&ROOT.monitor->lock) == 0 &&
			       pthread_mutex_trylock(&ROOT.monitor->lock) == EBUSY &&
			       pthread_mutex_unlock(&ROOT.monitor->lock) == 0;
	}
	/* the last bytes, which hold nothing */
	r.sealed = read(fd, &lych_root_page.page[LYCH_PAGE - 8], 8) == -1 && errno == EFAULT;
	close(fd);
	return r;
}

static int step(const char *name)
{
	strcat(fake_log, name);
	strcat(fake_log, " ");
	return strcmp(name, failing) == 0 ? failing_err : 0;
}

/* ---- the neighbours ------------------------------------------------------------------------- */

long lych_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
	long rc = syscall(nr, a, b, c, d, e, f);

	return rc == -1 ? -errno : rc;
}

void detect_machine(struct machine *out)
{
	step("detect");
	*out = fake_machine;
}

const char lych_gate_text[1];

int lych_code_start(enum lych_code mode, uint32_t classes,
		    void (*tell)(const struct lych_code_item *item, void *ctx), void *ctx)
{
	char name[32];

	(void)tell;
	(void)ctx;
	snprintf(name, sizeof(name), "code(%d,%x)", mode, classes);
	step(name);
	return strcmp(failing, "code") == 0 ? failing_err : 0;
}

void *monitor_alloc(size_t bytes)
{
	if (strcmp(failing, bytes == sizeof(struct monitor) ? "monitor" : "fork_copy") == 0) {
		return NULL;
	}
	monitor_bytes += bytes;
	return calloc(1, bytes);
}

void monitor_free(void *at, size_t bytes)
{
	monitor_bytes -= bytes;
	free(at);
}

int none_start(void)
{
	static const struct none none;
	int rc = step("none");

	ROOT.none = rc == 0 ? &none : NULL;
	return rc;
}

int bindings_start(void)
{
	return step("bindings");
}
void bindings_stop(void)
{
	step("-bindings");
}
int threads_start(void)
{
	return step("threads");
}
void threads_stop(void)
{
	step("-threads");
}
int signals_start(void)
{
	return step("signals");
}
void signals_stop(void)
{
	step("-signals");
}
int keys_start(unsigned int max_keys)
{
	return step(max_keys == 7 ? "keys(7)" : "keys");
}
void keys_stop(void)
{
	step("-keys");
}
int thread_has_timer(struct thread *t)
{
	(void)t;
	return 0;
}

int thread_self(struct thread **out)
{
	*out = NULL;
	return step("attach");
}
void task_start(void)
{
}
