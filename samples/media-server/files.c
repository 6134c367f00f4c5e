/* SPDX-License-Identifier: Apache-2.0 */
/* media_files DIR: writes the files that are made to hurt. */
#include <stdio.h>
#include <stdlib.h>

#include "hostile.h"

static int save(const char *dir, const char *name, uint8_t *file, size_t bytes)
{
	char path[4096];
	FILE *out;
	int failed = 1;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	out = file != NULL ? fopen(path, "wb") : NULL;
	if (out != NULL) {
		failed = fwrite(file, 1, bytes, out) != bytes;
		failed |= fclose(out) != 0;
	}
	free(file);
	if (failed) {
		perror(path);
	} else {
		printf("%s: %zu bytes\n", path, bytes);
	}
	return failed;
}

int main(int argc, char **argv)
{
	size_t bytes = 0;

	if (argc != 2) {
		(void)fprintf(stderr, "usage: media_files DIR\n");
		return 2;
	}
	uint8_t *vorbis = hostile_vorbis(&bytes);
	int failed = save(argv[1], "cve-2023-45681.ogg", vorbis, bytes);
	uint8_t *jpeg = hostile_jpeg(&bytes, (size_t)512 << 10);
	return save(argv[1], "scans.jpg", jpeg, bytes) | failed;
}
