/* SPDX-License-Identifier: Apache-2.0 */
/* Protection keys, one step at a time, in Lychgate's words. */
#include <lychgate/lychgate.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct lych_region *region;
static char *memory;
static int failures;

/* Runs fn in a child and says how it ended; expected: 0, or the signal. */
static void try_it(const char *what, void (*fn)(void), int expected)
{
	int status = 0, ended;
	pid_t pid;

	(void)fflush(NULL);
	pid = fork();
	if (pid == 0) {
		fn();
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		perror("fork");
		failures++;
		return;
	}
	ended = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	printf("   %-48s %s%s\n", what, ended == 0 ? "done" : "SIGSEGV", ended == expected ? "" : "  (not expected!)");
	failures += ended != expected;
}

static void read_it(void)
{
	(void)*(volatile char *)memory;
}

static void write_it(void)
{
	*(volatile char *)memory = 'w';
}

static void read_in_read_scope(void)
{
	LYCH_READ(char, at, region) {
		(void)*(const volatile char *)at;
	}
}

static void write_in_read_scope(void)
{
	LYCH_READ(char, at, region) {
		*(volatile char *)memory = *at;
	}
}

static void write_in_write_scope(void)
{
	LYCH_WRITE(char, at, region) {
		at[0] = 'w';
	}
}

/* Runs in a domain. */
static char peek(const char *at)
{
	return *at;
}

LYCH_BIND(guest, peek, char, (const char *));

int main(int argc, char **argv)
{
	bool slow = argc > 1 && strcmp(argv[1], "mprotect") == 0;
	struct lych_domain *guest;
	char got = 0;
	int rc;

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	rc = lych_init(LYCH_OPTS(struct lych_init_opts, .backend = slow ? LYCH_MPROTECT : LYCH_BACKEND_AUTO,
				 .report_host_faults = true));
	if (rc == 0) {
		rc = lych_region_new(&region, 4096, LYCH_OPTS(struct lych_region_opts, .name = "tour"));
	}
	if (rc == 0) {
		rc = lych_domain_new(&guest, LYCH_OPTS(struct lych_domain_opts, .name = "guest"));
	}
	if (rc != 0) {
		(void)fprintf(stderr, "%s: %s\n", lych_strerror(rc), lych_why());
		return 2;
	}
	memory = lych_region_address(region);
	if (slow) {
		printf("1. A page of memory at %p is a region (backend %s, without keys).\n", (void *)memory,
		       lych_backend_name());
	} else {
		printf("1. A page of memory at %p has a key of its own: %d (backend %s).\n", (void *)memory,
		       lych_region_key(region), lych_backend_name());
	}
	puts("2. Nobody has the right to it. Each of these is tried in a child process:");
	try_it("read it", read_it, SIGSEGV);
	try_it("write it", write_it, SIGSEGV);
	puts("3. This thread takes the right to read, for a block of code:");
	try_it("read it in a LYCH_READ block", read_in_read_scope, 0);
	try_it("write it in a LYCH_READ block", write_in_read_scope, SIGSEGV);
	puts("4. And the right to write:");
	try_it("write it in a LYCH_WRITE block", write_in_write_scope, 0);
	try_it("... and read it after the block", read_it, SIGSEGV);
	puts("5. Code in a domain does not have it, whatever the caller has. The call ends, and not the process:");
	LYCH_READ(char, at, region) {
		rc = LYCH_CALL(guest, &got, peek, at);
	}
	printf("   the call gives: %s\n", lych_strerror(rc));
	failures += rc != -EFAULT;
	if (lych_fault_print(lych_fault(guest), 1) != 0) {
		failures++;
	}
	rc = lych_domain_free(guest);
	failures += rc != 0;
	rc = lych_region_free(region);
	failures += rc != 0;
	return failures != 0;
}
