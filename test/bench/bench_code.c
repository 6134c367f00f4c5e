/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What it costs that lych_init looks at all code and repairs it: whole programs, from exec to their end, that load some
 * libraries and then
 *
 *	nothing  end
 *	scan     map and match every executable byte, as any check of it must
 *	start    start the runtime (mprotect backend), which leaves code alone
 *	repair   start it with LYCH_CODE_REPAIR
 *
 * in turn, round after round; medians. repair - start against scan - nothing is the price of the repair, of planning in a
 * child and of carrying it out, over that of looking. Not as root: of files that a process can write all code is copied.
 *
 *	bench_code [ROUNDS [MEGABYTES [FILE_OR_DIRECTORY]]]
 */
#include <dirent.h>
#include <dlfcn.h>
#include <lychgate/lychgate.h>
#include <spawn.h>
#include <sys/wait.h>

#include "bench_common.h"
#include "pattern.h"

#define ROUNDS_MAX 101
#define LIBRARIES_MAX 64
#define NOBODY 65534

extern char **environ;

enum what { NOTHING, SCAN, START, REPAIR, WHATS };
static const char *const names[WHATS] = {"nothing", "scan", "start", "repair"};

/* ---- in the child -------------------------------------------------------------------------------- */

static volatile uint64_t sink;

static int count_hit(void *ctx, size_t off, size_t core, size_t len, enum lych_class cls)
{
	(void)off, (void)core, (void)len, (void)cls;
	++*(uint64_t *)ctx;
	return 0;
}

static uint64_t scan_all(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[8192];
	uint64_t bytes = 0, found = 0;

	while (maps != NULL && fgets(line, sizeof(line), maps) != NULL) {
		unsigned long start, end;
		char perms[8];

		if (sscanf(line, "%lx-%lx %4s", &start, &end, perms) == 3 && perms[0] == 'r' && perms[2] == 'x') {
			madvise((void *)start, end - start, 22 /* MADV_POPULATE_READ */);
			(void)pattern_scan((const uint8_t *)start, end - start, LYCH_POLICY_HOST, count_hit, &found);
			bytes += end - start;
		}
	}
	sink = found;
	return bytes;
}

static int child(enum what what, char **libraries)
{
	struct lych_init_opts opts = {.size = sizeof(opts), .backend = LYCH_MPROTECT,
				      .code = what == REPAIR ? LYCH_CODE_REPAIR : LYCH_CODE_AUTO};

	for (; *libraries != NULL; libraries++) {
		if (dlopen(*libraries, RTLD_LAZY) == NULL) {
			return 3;
		}
	}
	if (what == SCAN) {
		(void)scan_all();
	} else if (what != NOTHING && lych_init(&opts) != 0) {
		(void)fprintf(stderr, "lych_init: %s\n", lych_why());
		return 4;
	}
	return 0;
}

/* ---- the parent ------------------------------------------------------------------------------------ */

static int run(enum what what, char **libraries, double *seconds)
{
	char self[] = "/proc/self/exe", flag[] = "--child";
	char *argv[LIBRARIES_MAX + 4] = {self, flag, (char *)(uintptr_t)names[what]};
	int status = -1;
	pid_t pid;

	for (size_t i = 0; libraries[i] != NULL; i++) {
		argv[i + 3] = libraries[i];
	}
	*seconds = seconds_now();
	if (posix_spawn(&pid, self, NULL, NULL, argv, environ) != 0 || waitpid(pid, &status, 0) != pid) {
		return -1;
	}
	*seconds = seconds_now() - *seconds;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int compare(const char *title, char **libraries, size_t rounds, uint64_t bytes)
{
	static double times[WHATS][ROUNDS_MAX];
	double median[WHATS], added, looked;

	for (size_t round = 0; round < rounds; round++) {
		for (enum what what = NOTHING; what < WHATS; what++) {
			int rc = run(what, libraries, &times[what][round]);

			if (rc != 0) {
				(void)fprintf(stderr, "%s: %s ended with %d\n", title, names[what], rc);
				return 1;
			}
		}
	}
	printf("\n%s, %.1f MB of code, medians of %zu rounds:\n", title, (double)bytes / 1e6, rounds);
	for (enum what what = NOTHING; what < WHATS; what++) {
		median[what] = median_of(times[what], rounds);
		printf("  %-8s %8.2f ms\n", names[what], median[what] * 1e3);
	}
	added = median[REPAIR] - median[START];
	looked = median[SCAN] - median[NOTHING];
	printf("  the program with repair takes %.2f times as long as without the runtime\n", median[REPAIR] / median[NOTHING]);
	printf("  looking and repairing: %.2f ms, %.2f times what looking alone takes (%.3f ms for each MB)\n", added * 1e3,
	       added / looked, added * 1e9 / (double)bytes);
	return 0;
}

/* ---- which libraries ----------------------------------------------------------------------------- */

struct library {
	char path[512];
	off_t size;
};

static int larger_first(const void *a, const void *b)
{
	const struct library *x = a, *y = b;

	return (x->size < y->size) - (x->size > y->size);
}

static size_t list_libraries(struct library *out, size_t max, const char *folder)
{
	DIR *dir = opendir(folder);
	size_t n = 0;

	for (struct dirent *e; dir != NULL && n < max && (e = readdir(dir)) != NULL;) {
		struct library *l = &out[n];
		struct stat st;

		if (strstr(e->d_name, ".so") != NULL &&
		    snprintf(l->path, sizeof(l->path), "%s/%s", folder, e->d_name) < (int)sizeof(l->path) &&
		    lstat(l->path, &st) == 0 && S_ISREG(st.st_mode)) {
			l->size = st.st_size;
			n++;
		}
	}
	if (dir != NULL) {
		(void)closedir(dir);
	}
	qsort(out, n, sizeof(*out), larger_first);
	return n;
}

/* Executable bytes of this process with these libraries, told by a child that loads them; 0: it cannot. */
static uint64_t bytes_with(char **libraries)
{
	uint64_t bytes = 0;
	int fds[2], status = 0;
	pid_t pid;

	if (pipe(fds) != 0) {
		return 0;
	}
	pid = fork();
	if (pid == 0) {
		for (; *libraries != NULL; libraries++) {
			if (dlopen(*libraries, RTLD_LAZY) == NULL) {
				_exit(1);
			}
		}
		bytes = scan_all();
		_exit(write(fds[1], &bytes, sizeof(bytes)) != sizeof(bytes));
	}
	(void)close(fds[1]);
	if (read(fds[0], &bytes, sizeof(bytes)) != sizeof(bytes)) {
		bytes = 0;
	}
	(void)close(fds[0]);
	(void)waitpid(pid, &status, 0);
	return status == 0 ? bytes : 0;
}

int main(int argc, char **argv)
{
	static struct library found[4096];
	char *libraries[LIBRARIES_MAX + 1] = {NULL};
	size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 21, n, chosen = 0;
	uint64_t wanted = (argc > 2 ? strtoull(argv[2], NULL, 10) : 100) * 1000000, bytes;
	const char *folder = argc > 3 ? argv[3] : "/usr/lib/x86_64-linux-gnu";

	for (enum what what = NOTHING; argc > 2 && strcmp(argv[1], "--child") == 0 && what < WHATS; what++) {
		if (strcmp(argv[2], names[what]) == 0) {
			return child(what, argv + 3);
		}
	}
	if (rounds < 1 || rounds > ROUNDS_MAX) {
		(void)fprintf(stderr, "usage: bench_code [ROUNDS (1 to %d) [MEGABYTES [DIRECTORY]]]\n", ROUNDS_MAX);
		return 2;
	}
	if (geteuid() == 0 && (setgid(NOBODY) != 0 || setuid(NOBODY) != 0)) {
		perror("bench_code: becoming nobody");
		return 2;
	}
	print_machine(stdout);
	if (compare("a small program", libraries, rounds, bytes_with(libraries)) != 0) {
		return 1;
	}
	n = list_libraries(found, sizeof(found) / sizeof(found[0]), folder);
	bytes = 0;
	for (size_t i = 0; i < n && chosen < LIBRARIES_MAX && bytes < wanted; i++) {
		uint64_t with;

		libraries[chosen] = found[i].path;
		with = bytes_with(libraries);
		if (with > bytes) {
			bytes = with;
			chosen++;
		} else {
			libraries[chosen] = NULL;
		}
	}
	if (bytes < wanted) {
		printf("\nthe libraries in %s that can be loaded have %.0f MB of code only\n", folder, (double)bytes / 1e6);
	}
	return compare("a program with large libraries", libraries, rounds, bytes);
}
