/* SPDX-License-Identifier: Apache-2.0 */
/* LYCH_NONE: libraries, by dlopen. */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "../core/name.h"
#include "../core/why.h"
#include "none.h"

#define DEFAULT_BYTES ((size_t)64 << 20)
#define DEFAULT_CALLBACKS 64
#define HEAP_MAX ((size_t)16 << 30)
#define FDS_MAX 1024
/* Libraries that one needs and that are only in the directories of opts.search. */
#define NEEDED_MAX 64

/* What dlopen and its kin say, in English: it is looked at below. */
static void dl_text(char *out, size_t bytes)
{
	locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0), before = (locale_t)0;
	const char *text;

	if (c != (locale_t)0) {
		before = uselocale(c);
	}
	text = dlerror();
	snprintf(out, bytes, "%s", text != NULL ? text : "");
	if (c != (locale_t)0) {
		uselocale(before);
		freelocale(c);
	}
}

static void *open_one(const char *path)
{
	return dlopen(path, RTLD_NOW | RTLD_GLOBAL);
}

/* In the directories of search only, of which each names a file. out: PATH_MAX bytes. */
static bool in_directories(const char *search, const char *name, char *out)
{
	while (search != NULL && *search != '\0') {
		size_t n = strcspn(search, ":");
		FILE *f = NULL;

		if (n != 0 && snprintf(out, PATH_MAX, "%.*s/%s", (int)n, search, name) < PATH_MAX) {
			f = fopen(out, "re");
		}
		if (f != NULL) {
			fclose(f);
			return true;
		}
		search += search[n] == ':' ? n + 1 : n;
	}
	return false;
}

/* The dlopen of this process knows no directories for one library: what it misses that lies there is loaded first. */
static int load(struct none_domain *d, const char *library, void **out)
{
	char path[PATH_MAX], missing[NAME_MAX + 1], text[512];
	const char *name = library;
	bool slash = strchr(library, '/') != NULL;

	if (!slash && in_directories(d->search, library, path)) {
		name = path;
	}
	for (int tries = 0;; tries++) {
		char needed[PATH_MAX];
		const char *at;

		*out = open_one(name);
		if (*out != NULL) {
			return 0;
		}
		dl_text(text, sizeof(text));
		at = strstr(text, ": cannot open shared object file");
		if (at == NULL || tries == NEEDED_MAX || (size_t)(at - text) >= sizeof(missing)) {
			break;
		}
		snprintf(missing, sizeof(missing), "%.*s", (int)(at - text), text);
		if (strchr(missing, '/') != NULL || strcmp(missing, name) == 0 ||
		    !in_directories(d->search, missing, needed) || open_one(needed) == NULL) {
			break;
		}
	}
	why_set("library: %s", text);
	return strstr(text, "cannot open shared object file") != NULL || strstr(text, "undefined symbol") != NULL ||
			       strstr(text, "not found") != NULL
		       ? -ENOENT
		       : -ENOEXEC;
}

/* With no lock: constructors run. */
static int add(struct none_domain *d, const char *library)
{
	void **handles, *handle;
	int rc = load(d, library, &handle);

	if (rc != 0) {
		return rc;
	}
	none_lock();
	for (size_t i = 0; i < d->nhandles; i++) {
		if (d->handles[i] == handle) {
			none_unlock();
			dlclose(handle);
			return 0;
		}
	}
	handles = realloc(d->handles, (d->nhandles + 1) * sizeof(*handles));
	if (handles != NULL) {
		d->handles = handles;
		d->handles[d->nhandles++] = handle;
	}
	none_unlock();
	if (handles == NULL) {
		dlclose(handle);
		return -ENOMEM;
	}
	return 0;
}

void none_close(struct none_domain *d)
{
	while (d->nhandles > 0) {
		dlclose(d->handles[--d->nhandles]);
	}
	free(d->handles);
	d->handles = NULL;
}

/* What every backend refuses, so that it is not found out later. */
static int options(struct lych_library_opts *out, const struct lych_library_opts *opts)
{
	*out = (struct lych_library_opts){.size = sizeof(*out)};
	if (opts != NULL) {
		if (opts->size < sizeof(opts->size) || opts->size > LYCH_PAGE) {
			why_set("lych_library_opts.size is %zu: fill it with LYCH_OPTS", opts->size);
			return -EINVAL;
		}
		for (size_t i = sizeof(*out); i < opts->size; i++) {
			if (((const char *)opts)[i] != 0) {
				why_set("an option is set that this version of the library does not know");
				return -EINVAL;
			}
		}
		memcpy(out, opts, opts->size < sizeof(*out) ? opts->size : sizeof(*out));
	}
	if (out->heap_bytes > HEAP_MAX || out->stack_bytes > HEAP_MAX || out->callbacks > LYCH_CALLBACK_THUNKS ||
	    out->fds > FDS_MAX) {
		why_set("lych_library_opts: heap_bytes, stack_bytes, callbacks or fds is out of range");
		return -EINVAL;
	}
	return 0;
}

int none_open(struct lych_domain **out, const char *library, const struct lych_library_opts *opts)
{
	struct lych_domain_opts plain = {.size = sizeof(plain)};
	struct lych_library_opts o;
	struct none_domain *d;
	const char *slash;
	int rc;

	*out = NULL;
	if (library == NULL) {
		return -EINVAL;
	}
	rc = options(&o, opts);
	if (rc != 0) {
		return rc;
	}
	slash = strrchr(library, '/');
	plain.name = o.name != NULL ? o.name : slash != NULL ? slash + 1 : library;
	plain.kind = o.vault ? LYCH_KIND_VAULT : LYCH_KIND_CONTAIN;
	plain.heap_bytes = o.heap_bytes != 0 ? o.heap_bytes : DEFAULT_BYTES;
	plain.callbacks = o.callbacks != 0 ? o.callbacks : DEFAULT_CALLBACKS;
	plain.lock_memory = o.lock_memory;
	plain.zero_on_free = o.zero_on_free;
	rc = none_domain_make(&d, &plain, "library");
	if (rc != 0) {
		return rc;
	}
	d->library = true;
	d->search = o.search != NULL ? strdup(o.search) : NULL;
	rc = o.search != NULL && d->search == NULL ? -ENOMEM : add(d, library);
	if (rc != 0) {
		(void)NONE->domain_free((struct lych_domain *)d, NONE_AT);
		return rc;
	}
	*out = (struct lych_domain *)d;
	return 0;
}

static struct none_domain *library_of(struct lych_domain *domain)
{
	struct none_domain *d;

	none_lock();
	d = none_domain_of(domain);
	none_unlock();
	return d != NULL && d->library ? d : NULL;
}

int none_load(struct lych_domain *domain, const char *library)
{
	struct none_domain *d = library_of(domain);

	return d != NULL && library != NULL ? add(d, library) : -EINVAL;
}

int none_symbol(struct lych_domain *domain, void **out, const char *name, const char *version)
{
	struct none_domain *d = library_of(domain);
	char text[512];

	*out = NULL;
	if (d == NULL || name == NULL) {
		return -EINVAL;
	}
	/* What is loaded stays loaded while the domain lives, and nothing is put in front of it. */
	for (size_t i = 0;; i++) {
		void *handle;

		none_lock();
		handle = i < d->nhandles ? d->handles[i] : NULL;
		none_unlock();
		if (handle == NULL) {
			break;
		}
		*out = version != NULL ? dlvsym(handle, name, version) : dlsym(handle, name);
		if (*out != NULL) {
			return 0;
		}
		dl_text(text, sizeof(text));
	}
	why_set("library: %s", text);
	return -ENOENT;
}
