/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are made to hurt: each function returns one, malloc'ed, and how long it is; NULL: no memory. */
#ifndef HOSTILE_H
#define HOSTILE_H

#include <stddef.h>
#include <stdint.h>

/* CVE-2023-45681: Ogg Vorbis whose number of comments does not fit into an int once it is multiplied by 8, so that stb_vorbis makes
 * room for one and writes more. */
uint8_t *hostile_vorbis(size_t *bytes);
/* A progressive JPEG of nothing in as many scans as fit into so many bytes: each takes as long as the picture is large. */
uint8_t *hostile_jpeg(size_t *bytes, size_t wanted);

#endif
