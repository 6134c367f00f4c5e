/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lych_open and what belongs to it: the order in which a library domain comes to be, and goes.
 *
 * A domain whose arena is empty; the loader and the stub mapped there; the loader run, through the gate, until the stub says
 * that it is ready; a context for making contexts; the library, by the stub's dlopen; the snapshot. Whatever fails: the domain is freed
 * as any other.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <lychgate/library.h>

#include "../code/code.h"
#include "../core/asm.h"
#include "../core/keys.h"
#include "../core/name.h"
#include "../core/signal.h"
#include "../core/thread.h"
#include "../core/why.h"
#include "../memory/memory.h"
#include "../memory/ranges.h"
#include "arena.h"
#include "files.h"
#include "library.h"
#include "none.h"
#include "rules.h"
#include "snapshot.h"
#include "symbols.h"

#define LIMIT_DEFAULT ((size_t)64 << 20)
#define LIMIT_MAX ((size_t)1 << 34)
#define STACK_DEFAULT ((size_t)1 << 20)
#define THREADS_DEFAULT 16
#define THREADS_MOST 512
#define FDS_DEFAULT 64
#define CALLBACKS_DEFAULT 64
#define FDS_MOST 1024
#define WHY_BYTES 512
/* Address space beside what the limit says: files of libraries, guards, what is reserved and never used. */
#define ADDRESSES ((uint64_t)8 << 30)
#define LEAVE_MS 1000
#define OPEN_MS_DEFAULT 60000 /* a large library's code takes seconds to be looked through, on a slow machine more */
#define SEARCH_BYTES 8192
#define PATH_BYTES 4096

/* ---- options ------------------------------------------------------------------------------------------------------- */

static int options(struct lych_library_opts *out, const struct lych_library_opts *opts)
{
	*out = (struct lych_library_opts){.size = sizeof(*out)};
	if (opts != NULL) {
		if (opts->size < offsetof(struct lych_library_opts, name) || opts->size > LYCH_PAGE) {
			why_set("lych_library_opts.size is %zu: fill it with LYCH_OPTS", opts->size);
			return -EINVAL;
		}
		for (size_t i = sizeof(*out); i < opts->size; i++) {
			if (((const char *)opts)[i] != 0) {
				why_set("an option is set that this version of the library does not know: use a newer library");
				return -EINVAL;
			}
		}
		memcpy(out, opts, opts->size < sizeof(*out) ? opts->size : sizeof(*out));
	}
	out->heap_bytes = out->heap_bytes == 0 ? LIMIT_DEFAULT : out->heap_bytes;
	out->stack_bytes = out->stack_bytes == 0 ? STACK_DEFAULT : out->stack_bytes;
	out->threads = out->threads == 0 ? THREADS_DEFAULT : out->threads == UINT_MAX ? 0 : out->threads;
	out->fds = out->fds == 0 ? FDS_DEFAULT : out->fds;
	out->open_timeout_ms = out->open_timeout_ms == 0 ? OPEN_MS_DEFAULT : out->open_timeout_ms;
	out->callbacks = out->callbacks == 0 ? CALLBACKS_DEFAULT : out->callbacks;
	if (out->heap_bytes > LIMIT_MAX || out->stack_bytes > LIMIT_MAX || out->threads > THREADS_MOST || out->fds > FDS_MOST ||
	    out->callbacks > LYCH_CALLBACK_THUNKS) {
		why_set("an option of lych_open is out of range");
		return -EINVAL;
	}
	return 0;
}

/* ---- the library's share of a domain --------------------------------------------------------------------------------- */

static void library_free(struct library *l)
{
	if (l == NULL) {
		return;
	}
	symbols_free(atomic_load(&l->symbols));
	files_free(l);
	if (l->rules != NULL) {
		monitor_free(l->rules, sizeof(*l->rules));
	}
	monitor_free(l, sizeof(*l));
}

/* What the loader may read beside the system's directories: those of search, and the one that library is named in. */
static int readable(char out[SEARCH_BYTES], const char *search, const char *library)
{
	const char *slash = strrchr(library, '/');
	int n = snprintf(out, SEARCH_BYTES, "%s%s%.*s", search != NULL ? search : "", search != NULL && slash != NULL ? ":" : "",
			 slash != NULL ? (int)(slash - library) : 0, library);

	return n >= SEARCH_BYTES ? -EINVAL : 0;
}

/* As dlopen has it: a name with a slash in it is a path, here from the working directory. The one inside is another. */
static int absolute(char out[PATH_BYTES], const char *library)
{
	char folder[PATH_BYTES] = "";
	int n;

	if (library[0] != '/' && strchr(library, '/') != NULL && getcwd(folder, sizeof(folder)) == NULL) {
		why_set("library: the working directory cannot be told: name %.200s by its whole path", library);
		return -EINVAL;
	}
	n = snprintf(out, PATH_BYTES, "%s%s%s", folder, folder[0] != '\0' ? "/" : "", library);
	if (n >= PATH_BYTES) {
		why_set("library: its path is too long");
		return -EINVAL;
	}
	return 0;
}

/* -EINVAL: the policy, or where to look. */
static int library_new(struct library **out, const struct lych_library_opts *o, const char *library)
{
	char search[SEARCH_BYTES];
	struct library *l = monitor_alloc(sizeof(*l));
	char why[WHY_BYTES] = "";
	int rc = -ENOMEM;

	*out = NULL;
	if (l == NULL) {
		return -ENOMEM;
	}
	l->limit_bytes = o->heap_bytes;
	l->threads = o->threads;
	l->open_ms = o->open_timeout_ms;
	l->on_file = o->on_file;
	l->on_code = o->on_code;
	l->tell_ctx = o->tell_ctx;
	l->rules = monitor_alloc(sizeof(*l->rules));
	if (l->rules != NULL) {
		rc = rules_parse(l->rules, o->policy, why, sizeof(why));
	}
	if (rc == 0 && readable(search, o->search, library) != 0) {
		snprintf(why, sizeof(why), "the path of the library, or of its search, is too long");
		rc = -EINVAL;
	}
	if (rc == 0) {
		rc = files_new(l, o->fds, search, why, sizeof(why));
	}
	if (rc != 0) {
		if (rc == -EINVAL) {
			why_set("library: policy: %s", why);
		}
		library_free(l);
		return rc;
	}
	*out = l;
	return 0;
}

int library_take(struct library *l, struct lych_domain *d)
{
	int rc;

	l->domain = d;
	rc = arena_new(l, ADDRESSES + 4 * l->limit_bytes, l->limit_bytes, (int)d->key);
	if (rc == -ENOMEM) {
		why_set("library: no range of %llu MiB of addresses is free (RLIMIT_AS?)",
			(unsigned long long)(ADDRESSES + 4 * l->limit_bytes) >> 20);
	}
	if (rc == 0) {
		rc = contexts_new(l);
		if (rc != 0) {
			arena_free(l);
		}
	}
	if (rc == 0) {
		d->library = l;
	}
	return rc;
}

void library_drop(struct lych_domain *d)
{
	struct library *l = d->library;

	if (l != NULL) {
		d->library = NULL;
		contexts_free(l);
		arena_free(l);
		shares_free(l); /* now that a descriptor is free */
	}
}

void library_settle(struct lych_domain *d)
{
	if (d->library != NULL) {
		contexts_wait(d->library);
	}
}

bool library_own_call(const struct library *l, void (*fn)(void))
{
	uint64_t at = (uintptr_t)fn;

	return at == l->begin || (l->ready && (at == l->table.load || at == l->table.symbol || at == l->table.spawn ||
					       at == l->table.finish || at == l->table.leave));
}

void library_gone(struct library *l)
{
	library_free(l);
}

int library_reset(struct lych_domain *d)
{
	struct library *l = d->library;
	int rc;

	if (l == NULL) {
		return 0;
	}
	files_restore(l);
	rc = snapshot_restore(l);
	if (rc == 0) {
		contexts_reset(l);
	}
	return rc;
}

int library_again(struct lych_domain *d)
{
	return contexts_again(d->library);
}

void library_leave(struct lych_domain *d)
{
	struct library *l = d->library;
	struct thread *self;
	uint64_t before;

	if (!l->ready || atomic_load(&d->state) != DOMAIN_READY || thread_self(&self) != 0) {
		return;
	}
	/* Of this call, and of no other: theirs would end as if they had returned. */
	atomic_store(&l->leaving, self->top + 1);
	/* What it says does not matter: the domain ends. */
	(void)inside_call(l, "exit", l->table.leave, (const uint64_t[3]){0}, lych_deadline_in(LEAVE_MS, &before), NULL);
	lych_deadline_over(before);
	atomic_store(&l->leaving, NULL);
}

/*
 * A call's return address is in the gate, and unwinders inside look at the instructions there: else an exception that nobody
 * catches would end by a fault of its own. Everybody may read the gate's pages, as they may read the gate key's.
 */
static int gate_shown(void)
{
	uint64_t start = (uint64_t)(uintptr_t)lych_gate_text, end = (uint64_t)(uintptr_t)lych_gate_pages_end;
	int rc = 0;

	monitor_lock();
	if (ROOT.backend == LYCH_PKU && ledger_key_of(lych_gate_text) < 0) {
		rc = ledger_record((void *)(uintptr_t)start, end - start, (int)ROOT.gate_key, RANGE_ANY);
		if (rc == 0) {
			rc = lych_code_show(start, end, (int)ROOT.gate_key);
		}
	}
	monitor_unlock();
	return rc;
}

/* ---- starting it ------------------------------------------------------------------------------------------------------ */

static int why_fault(struct lych_domain *d, int rc, const char *what)
{
	const struct lych_fault *f = lych_fault(d);

	if (rc == -ETIMEDOUT) {
		why_set("library: %s did not end in %u ms (open_timeout_ms)", what, d->library->open_ms);
	} else if (rc == -EFAULT && f->kind != LYCH_FAULT_NONE) {
		why_set("library: %s ended by %s at 0x%llx", what, lych_fault_kind_name(f->kind), (unsigned long long)f->rip);
	} else if (rc == -EFAULT) {
		why_set("library: %s did not do what it should", what);
	}
	return rc;
}

/* For what runs inside on behalf of lych_open, lych_load or lych_symbol: one limit for all of that. end_ns 0: none. */
static uint64_t end_of(const struct library *l)
{
	return l->open_ms == UINT_MAX ? 0 : monotonic_ns() + l->open_ms * 1000000ULL;
}

/* The deadline of the next call, until deadline_over. */
static uint64_t deadline(uint64_t end_ns, uint64_t *before)
{
	uint64_t now = monotonic_ns();

	return end_ns == 0 ? 0 : lych_deadline_in(end_ns > now ? (end_ns - now + 999999) / 1000000 : 0, before);
}

static void deadline_over(uint64_t end_ns, uint64_t before)
{
	if (end_ns != 0) {
		lych_deadline_over(before);
	}
}

static int call(struct library *l, const char *name, uint64_t fn, const uint64_t arg[3], uint64_t end_ns, long *result)
{
	uint64_t before, at = deadline(end_ns, &before);
	int rc = inside_call(l, name, fn, arg, at, result);

	deadline_over(end_ns, before);
	return rc;
}

static int start(struct library *l, const struct lych_library_opts *o, uint64_t end_ns)
{
	uint64_t before, at;
	struct inside_start first;
	int rc = loader_into(l, o, &first);

	if (rc != 0) {
		return rc;
	}
	files_loading(l, true);
	at = deadline(end_ns, &before);
	rc = why_fault(l->domain, context_main(l, &first, at), "the dynamic loader");
	deadline_over(end_ns, before);
	files_loading(l, false);
	if (rc == 0) {
		at = deadline(end_ns, &before);
		rc = why_fault(l->domain, context_spawner(l, at), "making a thread");
		deadline_over(end_ns, before);
	}
	return rc;
}

/* What dlerror says is the domain's word: made printable. */
static void why_not_loaded(const char *library, const char *why)
{
	char text[WHY_BYTES];
	size_t n = 0, bytes = strlen(library);

	for (; n + 1 < sizeof(text) && why[n] != '\0'; n++) {
		text[n] = why[n];
		if (text[n] < ' ' || text[n] > '~') {
			text[n] = '?';
		}
	}
	text[n] = '\0';
	/* Of the library itself it mostly says so; else it is about one that it needs. */
	if (strncmp(text, library, bytes) == 0 && text[bytes] == ':') {
		why_set("library: %s", text);
	} else {
		why_set("library: %.200s: %s", library, text);
	}
}

/* An errno of the stub's; what it makes up is -EFAULT. */
static int load_error(long err)
{
	switch (err) {
	case 0:
	case ENOENT:
	case ENOEXEC:
	case ENOMEM:
		return (int)-err;
	default:
		return -EFAULT;
	}
}

/* What the stub says of why a library was not loaded. Before lych_open is done nothing of the host's is in a vault, so that this
 * is no secret; later it may be one. */
static bool reason(struct library *l, char out[WHY_BYTES], const char *why)
{
	if (l->domain->kind == LYCH_KIND_VAULT) {
		return !l->opened && inside_read(l, out, (uintptr_t)why, WHY_BYTES - 1) == 0;
	}
	return lych_copy_out(l->domain, out, why, WHY_BYTES - 1) == 0;
}

static int load(struct library *l, const char *library, uint64_t end_ns)
{
	struct lych_domain *d = l->domain;
	char *path = lych_strdup(d, library), *why = lych_calloc(d, 1, WHY_BYTES);
	char copy[WHY_BYTES] = "";
	long err = 0;
	int rc = -ENOMEM;

	if (path != NULL && why != NULL) {
		const uint64_t arg[3] = {(uintptr_t)path, (uintptr_t)why, WHY_BYTES};

		why_set("%s", "");
		l->refused_code = false;
		files_loading(l, true);
		rc = call(l, library, l->table.load, arg, end_ns, &err);
		files_loading(l, false);
		if (rc != 0) {
			rc = why_fault(d, rc, "a constructor");
		} else if ((int)err != 0) {
			rc = load_error((int)err);
			/* Code that was refused is a better reason than that it could not be mapped. */
			if (l->refused_code) {
				rc = -ENOEXEC;
			} else {
				why_not_loaded(library, reason(l, copy, why) ? copy
									     : "cannot be loaded, and a vault does not say why");
			}
		}
	}
	if (rc != -EFAULT && rc != -ETIMEDOUT) {
		lych_free(d, path);
		lych_free(d, why);
	}
	return rc;
}

/* What has no reason of its own. */
static int told(int rc)
{
	if (rc == -ENOMEM && lych_why()[0] == '\0') {
		why_set("library: no memory, or no addresses (RLIMIT_AS?)");
	}
	return rc;
}

int lych_open(struct lych_domain **out, const char *library, const struct lych_library_opts *opts)
{
	struct lych_library_opts o;
	struct lych_domain_opts d = {.size = sizeof(d)};
	uint64_t end_ns;
	char path[PATH_BYTES];
	struct library *l;
	struct thread *self;
	int rc;

	if (out == NULL) {
		return -EINVAL;
	}
	*out = NULL;
	if (NONE != NULL) {
		return NONE->open(out, library, opts);
	}
	/* dlopen of no name is the program itself. */
	if (library == NULL || library[0] == '\0') {
		return -EINVAL;
	}
	why_set("%s", "");
	rc = options(&o, opts);
	if (rc == 0) {
		rc = absolute(path, library);
		library = path;
	}
	if (rc == 0) {
		rc = thread_self(&self);
	}
	if (rc == 0) {
		rc = gate_shown();
	}
	if (rc == 0) {
		rc = library_new(&l, &o, library);
	}
	if (rc != 0) {
		return told(rc);
	}
	d.name = o.name != NULL ? o.name : strrchr(library, '/') != NULL ? strrchr(library, '/') + 1 : library;
	d.kind = o.vault ? LYCH_KIND_VAULT : LYCH_KIND_LIBRARY;
	d.heap_bytes = o.heap_bytes;
	d.stack_bytes = o.stack_bytes;
	d.callbacks = o.callbacks;
	d.lock_memory = o.lock_memory;
	d.zero_on_free = o.zero_on_free;
	rc = domain_new(out, &d, l);
	if (rc != 0) {
		library_free(l);
		return told(rc);
	}
	end_ns = end_of(l);
	rc = start(l, &o, end_ns);
	if (rc == 0) {
		rc = load(l, library, end_ns);
	}
	if (rc == 0) {
		rc = library_keep(*out, true);
		l->opened = true;
	}
	if (rc == -ECANCELED || rc == -EOWNERDEAD) { /* nobody else knows the domain */
		rc = why_fault(*out, -EFAULT, "a thread that a constructor began");
	}
	rc = told(rc);
	if (o.on_opened != NULL) {
		o.on_opened(*out, rc, o.tell_ctx);
	}
	if (rc != 0) {
		int unused = lych_domain_free(*out); /* its one call has ended */

		(void)unused;
		*out = NULL;
	}
	return rc;
}

/* d is one of lych_open's: its library. */
static int library_of(struct lych_domain *d, struct library **out)
{
	struct thread *self;
	int rc = thread_self(&self);

	*out = NULL;
	if (rc == 0) {
		*out = d != NULL ? d->library : NULL;
		rc = *out != NULL ? 0 : -EINVAL;
	}
	return rc;
}

int lych_load(struct lych_domain *domain, const char *library)
{
	char path[PATH_BYTES];
	struct library *l;
	int rc;

	if (NONE != NULL) {
		return NONE->load(domain, library);
	}
	rc = library != NULL && library[0] != '\0' ? library_of(domain, &l) : -EINVAL;
	if (rc == 0) {
		rc = absolute(path, library);
	}
	if (rc == 0) {
		rc = load(l, path, end_of(l));
	}
	if (rc == 0) {
		/* Calls the thread has left by siglongjmp do not keep it inside. */
		signals_forget_left(RETURN_AT);
		rc = library_keep(domain, false);
	}
	return rc;
}

int lych_symbol(struct lych_domain *domain, void **out, const char *name, const char *version)
{
	char *inside_name, *inside_version = NULL;
	struct library *l;
	long at = 0;
	int rc;

	if (out == NULL) {
		return -EINVAL;
	}
	*out = NULL;
	if (NONE != NULL) {
		return NONE->symbol(domain, out, name, version);
	}
	rc = name != NULL ? library_of(domain, &l) : -EINVAL;
	if (rc != 0) {
		return rc;
	}
	inside_name = lych_strdup(domain, name);
	if (version != NULL) {
		inside_version = lych_strdup(domain, version);
	}
	rc = -ENOMEM;
	if (inside_name != NULL && (version == NULL || inside_version != NULL)) {
		const uint64_t arg[3] = {(uintptr_t)inside_name, (uintptr_t)inside_version, 0};

		rc = call(l, "dlsym", l->table.symbol, arg, end_of(l), &at); /* IFUNCs choose */
	}
	if (rc == 0) {
		rc = at == 0 ? -ENOENT : library_holds(l, (uint64_t)at, 1) ? 0 : -EFAULT;
	}
	if (rc == -ENOENT) {
		why_set("library: %s has no symbol %.200s", lych_domain_name(domain), name);
	}
	if (rc == 0) {
		*out = (void *)at;
	}
	lych_free(domain, inside_name);
	lych_free(domain, inside_version);
	return rc;
}
