/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/PID/maps, line by line. Pure: text in, fields out (proc(5); fs/proc/task_mmu.c). */
#ifndef LYCH_MAPS_H
#define LYCH_MAPS_H

#include <lychgate/scan.h>

struct mapping {
	uint64_t start, end, off;
	uint64_t dev, inode;
	bool readable, writable, executable, shared;
	bool deleted;         /* the path ends in " (deleted)", which is cut off */
	const char *path;     /* in the line, NUL-terminated, octal escapes of newlines undone; "" when anonymous */
};

/* Parses one line without its newline, changing it. Returns false when it is not a line of maps. */
bool mapping_parse(struct mapping *out, char *line);

#endif /* LYCH_MAPS_H */
