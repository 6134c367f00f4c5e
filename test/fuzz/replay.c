/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target over files, without libFuzzer: committed seeds and past crashes are tests with
 * any compiler. Arguments are files and directories; the name of each file is printed before it
 * runs, so that the last line names the one that crashed. No file at all is a failure.
 */
#include <errno.h>
#include <sys/stat.h>
#include <fts.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In memory of exactly the file's size, so that a sanitizer sees a read behind it. */
static int replay(const char *path, size_t size)
{
	uint8_t *data = malloc(size != 0 ? size : 1);
	FILE *file = fopen(path, "rb");
	int rc = -1;

	printf("%s\n", path);
	(void)fflush(stdout);
	if (data != NULL && file != NULL && fread(data, 1, size, file) == size) {
		(void)LLVMFuzzerTestOneInput(data, size);
		rc = 0;
	} else {
		(void)fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
	}
	if (file != NULL) {
		(void)fclose(file);
	}
	free(data);
	return rc;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

int main(int argc, char **argv)
{
	FTS *tree = argc > 1 ? fts_open(argv + 1, FTS_LOGICAL | FTS_NOCHDIR, by_name) : NULL;
	FTSENT *entry;
	size_t done = 0, failed = 0;

	if (tree == NULL) {
		(void)fprintf(stderr, "usage: replay FILE_OR_DIRECTORY...\n");
		return 2;
	}
	while ((entry = fts_read(tree)) != NULL) {
		switch (entry->fts_info) {
		case FTS_F:
			if (replay(entry->fts_accpath, (size_t)entry->fts_statp->st_size) == 0) {
				done++;
			} else {
				failed++;
			}
			break;
		case FTS_D:
		case FTS_DP:
			break;
		default:
			(void)fprintf(stderr, "replay: %s: %s\n", entry->fts_path,
				      strerror(entry->fts_errno));
			failed++;
		}
	}
	(void)fts_close(tree);
	printf("%zu files replayed, %zu could not be read\n", done, failed);
	return done > 0 && failed == 0 ? 0 : 1;
}
