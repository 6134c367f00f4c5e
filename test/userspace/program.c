/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: program [--again WORD]... [--libc FOLDER] [--repair] CHECK
 *
 * Ends with 0 when the check held, 1 with a line on stderr when it did not, 77 with a line when it
 * cannot be made here.
 */
#include "program.h"

#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <lychgate/lychgate.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct program program;

static const struct {
	const char *name;
	void (*check)(void);
	void (*prepare)(void); /* before lych_init */
} checks[] = {
	{"nothing", check_nothing, NULL},
	{"registers", check_registers, NULL},
	{"chosen", check_chosen, NULL},
	{"values", check_values, NULL},
	{"late", check_late, NULL},
	{"threads", check_threads, NULL},
	{"storm", check_storm, NULL},
	{"during", check_during, prepare_during},
	{"step", check_step, NULL},
	{"step_tls", check_step_tls, NULL},
	{"tls", check_tls, NULL},
	{"tls_threads", check_tls_threads, NULL},
	{"exceptions", check_exceptions, NULL},
	{"constructors", check_constructors, NULL},
	{"cancel", check_cancel, NULL},
	{"processes", check_processes, NULL},
	{"pkeys", check_pkeys, NULL},
	{"profil", check_profil, prepare_profil},
	{"domain", check_domain, NULL},
	{"audit", check_audit, NULL},
	{"inside", check_inside, prepare_inside},
};

static void say(const char *what, const char *format, va_list ap)
{
	char text[1024];

	fflush(stdout);
	vsnprintf(text, sizeof(text), format, ap);
	dprintf(STDERR_FILENO, "%s: %s\n", what, text);
}

void fail(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say("failed", format, ap);
	va_end(ap);
	_exit(1);
}

void skip(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say("skipped", format, ap);
	va_end(ap);
	_exit(77);
}

int libc_minor(void)
{
	int major = 0, minor = 0;

	if (sscanf(gnu_get_libc_version(), "%d.%d", &major, &minor) != 2 || major != 2) {
		fail("glibc's version is %s", gnu_get_libc_version());
	}
	return minor;
}

void *open_library(const char *name)
{
	char path[4096];
	void *library;

	snprintf(path, sizeof(path), "%s%s", program.folder, name);
	library = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
	if (library == NULL) {
		fail("%s", dlerror());
	}
	return library;
}

void *symbol_of(void *library, const char *name)
{
	void *symbol = dlsym(library, name);

	if (symbol == NULL) {
		fail("%s", dlerror());
	}
	return symbol;
}

void check_nothing(void)
{
}

/* The C library and ld.so are those that were asked for. */
static void check_origin(const char *folder)
{
	Dl_info libc, loader;

	CHECK(dladdr((void *)gnu_get_libc_version, &libc) != 0 &&
	      dladdr(dlsym(RTLD_DEFAULT, "__tls_get_addr"), &loader) != 0);
	if (strncmp(libc.dli_fname, folder, strlen(folder)) != 0 ||
	    strncmp(loader.dli_fname, folder, strlen(folder)) != 0) {
		fail("the C library is %s, and ld.so %s", libc.dli_fname, loader.dli_fname);
	}
}

static void tell(const struct lych_code_item *item, void *ctx)
{
	(void)ctx;
	printf("%s %#lx %s+%#lx: %s: %s %s\n", item->path, item->address, item->symbol, item->into,
	       item->what, item->done, item->why);
}

static void start(void)
{
	struct lych_init_opts opts = {
		.size = sizeof(opts), .code = LYCH_CODE_REPAIR, .on_code = tell};
	int rc;

	opts.backend = LYCH_PKU;
	rc = lych_init(&opts);
	if (rc == -EOPNOTSUPP && getenv("LYCH_REQUIRE_PKU") == NULL) {
		opts.backend = LYCH_MPROTECT;
		rc = lych_init(&opts);
	}
	if (rc != 0) {
		fail("lych_init: %s: %s", strerror(-rc), lych_why());
	}
}

int main(int argc, char **argv)
{
	static char *again[16];
	int i = 1;

	for (; i + 1 < argc && strcmp(argv[i], "--again") == 0 && program.again_name < 12; i += 2) {
		again[program.again_name++] = argv[i + 1];
	}
	program.again = again;
	if (i + 1 < argc && strcmp(argv[i], "--libc") == 0) {
		check_origin(argv[i + 1]);
		i += 2;
	}
	if (i < argc && strcmp(argv[i], "--repair") == 0) {
		program.repaired = true;
		i++;
	}
	if (i + 1 != argc || strrchr(argv[0], '/') == NULL) {
		fail("usage: /.../program [--again WORD]... [--libc FOLDER] [--repair] CHECK");
	}
	program.folder = strndup(argv[0], (size_t)(strrchr(argv[0], '/') + 1 - argv[0]));
	program.now = getenv("LD_BIND_NOW") != NULL;
	program.audited = getenv("LD_AUDIT") != NULL && strstr(getenv("LD_AUDIT"), "enter") != NULL;
	for (size_t c = 0; c < sizeof(checks) / sizeof(checks[0]); c++) {
		if (strcmp(checks[c].name, argv[i]) != 0) {
			continue;
		}
		slots_remember();
		if (checks[c].prepare != NULL) {
			checks[c].prepare();
		}
		if (program.repaired) {
			start();
		}
		checks[c].check();
		return 0;
	}
	fail("no check %s", argv[i]);
}
