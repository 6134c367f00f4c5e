/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole warm tree: what `lychgate scan -j N DIR...` takes, against the least that anything that
 * looks at the same bytes must do: walk the tree, open every regular file, read its first bytes, map
 * those that are ELF64 for x86-64 and sum their executable ranges, with the same number of threads.
 *Both run in turn, round after round; a first round of each fills the page cache and is not
 * counted.
 *
 *	bench_tree [-j THREADS] [-r ROUNDS] [-c COMMAND] [DIRECTORY...]
 *
 * Without -c the baseline runs alone. The default directory is /usr.
 */
#include <fts.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/wait.h>

#include "bench_common.h"

#define ROUNDS_MAX 101
#define THREADS_MAX 256
#define QUEUE_SIZE 1024

extern char **environ;

/* Paths on their way from the walk to the threads. */
struct queue {
	pthread_mutex_t lock;
	pthread_cond_t not_empty, not_full;
	char *paths[QUEUE_SIZE]; /* owned */
	size_t head, count;
	bool closed;
};

struct totals {
	uint64_t files, elf_files, bytes, sum;
};

struct worker {
	pthread_t thread;
	struct queue *queue;
	struct totals totals;
};

static void queue_put(struct queue *queue, const char *path)
{
	char *copy = strdup(path);

	if (copy == NULL) {
		perror("bench_tree");
		exit(1);
	}
	pthread_mutex_lock(&queue->lock);
	while (queue->count == QUEUE_SIZE) {
		pthread_cond_wait(&queue->not_full, &queue->lock);
	}
	queue->paths[(queue->head + queue->count) % QUEUE_SIZE] = copy;
	queue->count++;
	pthread_cond_signal(&queue->not_empty);
	pthread_mutex_unlock(&queue->lock);
}

static void queue_close(struct queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	queue->closed = true;
	pthread_cond_broadcast(&queue->not_empty);
	pthread_mutex_unlock(&queue->lock);
}

/* The next path, which the caller frees; NULL when there will be no more. */
static char *queue_take(struct queue *queue)
{
	char *path = NULL;

	pthread_mutex_lock(&queue->lock);
	while (queue->count == 0 && !queue->closed) {
		pthread_cond_wait(&queue->not_empty, &queue->lock);
	}
	if (queue->count > 0) {
		path = queue->paths[queue->head];
		queue->head = (queue->head + 1) % QUEUE_SIZE;
		queue->count--;
		pthread_cond_signal(&queue->not_full);
	}
	pthread_mutex_unlock(&queue->lock);
	return path;
}

static uint64_t sum_of(const uint8_t *bytes, size_t len)
{
	uint64_t sum = 0;
	size_t i = 0;

	for (; i + 8 <= len; i += 8) {
		uint64_t word;

		memcpy(&word, bytes + i, sizeof(word));
		sum += word;
	}
	for (; i < len; i++) {
		sum += bytes[i];
	}
	return sum;
}

static void sum_file(struct totals *totals, const char *path)
{
	struct exec_file file;
	unsigned index = 0;
	const uint8_t *at;
	size_t len;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	totals->files++;
	if (fd < 0) {
		return;
	}
	if (exec_file_map(&file, fd)) {
		totals->elf_files++;
		while (exec_file_next(&file, &index, &at, &len)) {
			totals->bytes += len;
			totals->sum += sum_of(at, len);
		}
		exec_file_unmap(&file);
	}
	(void)close(fd);
}

static void work(struct worker *worker)
{
	char *path;

	while ((path = queue_take(worker->queue)) != NULL) {
		sum_file(&worker->totals, path);
		free(path);
	}
}

static void *worker_main(void *arg)
{
	work(arg);
	return NULL;
}

/* The baseline, once. The walk is a thread beside those that sum: as strong as it can easily be
 * made. */
static struct totals sum_trees(char **paths, unsigned threads)
{
	static struct worker workers[THREADS_MAX];
	struct queue queue = {.lock = PTHREAD_MUTEX_INITIALIZER,
			      .not_empty = PTHREAD_COND_INITIALIZER,
			      .not_full = PTHREAD_COND_INITIALIZER};
	struct totals all = {0};
	FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	FTSENT *entry;

	if (tree == NULL) {
		perror("bench_tree");
		exit(1);
	}
	memset(workers, 0, sizeof(workers));
	for (unsigned i = 0; i < threads; i++) {
		workers[i].queue = &queue;
		if (pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]) != 0) {
			(void)fprintf(stderr, "bench_tree: no thread\n");
			exit(1);
		}
	}
	while ((entry = fts_read(tree)) != NULL) {
		if (entry->fts_info == FTS_F && S_ISREG(entry->fts_statp->st_mode)) {
			queue_put(&queue, entry->fts_accpath);
		}
	}
	queue_close(&queue);
	for (unsigned i = 0; i < threads; i++) {
		(void)pthread_join(workers[i].thread, NULL);
		all.files += workers[i].totals.files;
		all.elf_files += workers[i].totals.elf_files;
		all.bytes += workers[i].totals.bytes;
		all.sum += workers[i].totals.sum;
	}
	(void)fts_close(tree);
	return all;
}

/* The command, once, its output thrown away. Exits when it does not end with a scan's exit codes.
 */
static void run_command(char **argv)
{
	posix_spawn_file_actions_t actions;
	int status, rc;
	pid_t pid;

	rc = posix_spawn_file_actions_init(&actions);
	rc = rc != 0 ? rc : posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	rc = rc != 0 ? rc : posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	rc = rc != 0 ? rc : posix_spawn(&pid, argv[0], &actions, NULL, argv, environ);
	if (rc != 0) {
		(void)fprintf(stderr, "bench_tree: %s: %s\n", argv[0], strerror(rc));
		exit(1);
	}
	(void)posix_spawn_file_actions_destroy(&actions);
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) > 2) {
		(void)fprintf(stderr, "bench_tree: %s did not scan (status 0x%x)\n", argv[0],
			      status);
		exit(1);
	}
}

static void print_times(const char *name, double *seconds, unsigned rounds, uint64_t bytes)
{
	double median = median_of(seconds, rounds);

	printf("  %-34s %8.3f s median (%.3f-%.3f)  %6.2f GB/s\n", name, median, seconds[0],
	       seconds[rounds - 1], (double)bytes / median * 1e-9);
}

static int usage(void)
{
	(void)fprintf(stderr,
		      "usage: bench_tree [-j THREADS (1 to %d)] [-r ROUNDS (1 to %d)] "
		      "[-c COMMAND] [DIRECTORY...]\n",
		      THREADS_MAX, ROUNDS_MAX);
	return 2;
}

int main(int argc, char **argv)
{
	static double sums[ROUNDS_MAX], scans[ROUNDS_MAX];
	char *default_paths[] = {(char[]){"/usr"}, NULL};
	char **paths = default_paths, **scan_argv;
	long threads = sysconf(_SC_NPROCESSORS_ONLN), rounds = 7;
	char *command = NULL, threads_text[16];
	struct totals totals;
	size_t count;
	int opt;

	while ((opt = getopt(argc, argv, "j:r:c:")) != -1) {
		switch (opt) {
		case 'j':
			threads = strtol(optarg, NULL, 10);
			break;
		case 'r':
			rounds = strtol(optarg, NULL, 10);
			break;
		case 'c':
			command = optarg;
			break;
		default:
			return usage();
		}
	}
	if (threads < 1 || threads > THREADS_MAX || rounds < 1 || rounds > ROUNDS_MAX) {
		return usage();
	}
	if (optind < argc) {
		paths = argv + optind;
	}
	for (count = 0; paths[count] != NULL; count++) {
	}
	/* COMMAND scan -j N DIRECTORY... */
	scan_argv = calloc(count + 5, sizeof(*scan_argv));
	if (scan_argv == NULL) {
		perror("bench_tree");
		return 1;
	}
	(void)snprintf(threads_text, sizeof(threads_text), "%ld", threads);
	scan_argv[0] = command;
	scan_argv[1] = (char[]){"scan"};
	scan_argv[2] = (char[]){"-j"};
	scan_argv[3] = threads_text;
	memcpy(scan_argv + 4, paths, count * sizeof(*paths));

	print_machine(stdout);
	totals = sum_trees(paths, (unsigned)threads);
	if (command != NULL) {
		run_command(scan_argv);
	}
	for (long round = 0; round < rounds; round++) {
		double start = seconds_now();

		totals = sum_trees(paths, (unsigned)threads);
		sums[round] = seconds_now() - start;
		if (command != NULL) {
			start = seconds_now();
			run_command(scan_argv);
			scans[round] = seconds_now() - start;
		}
	}
	printf("%lu files, of which %lu are ELF64 for x86-64 with %.1f MB executable; %ld threads, "
	       "%ld rounds, warm cache\n",
	       totals.files, totals.elf_files, (double)totals.bytes * 1e-6, threads, rounds);
	print_times("open, map, sum", sums, (unsigned)rounds, totals.bytes);
	if (command != NULL) {
		print_times("lychgate scan", scans, (unsigned)rounds, totals.bytes);
		printf("  lychgate scan / open, map, sum: %.2f\n",
		       median_of(scans, (size_t)rounds) / median_of(sums, (size_t)rounds));
	}
	free(scan_argv);
	return totals.files > 0 ? 0 : 1;
}
