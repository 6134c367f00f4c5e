/* SPDX-License-Identifier: Apache-2.0 */
/* ld.so.cache: in which directories there are libraries. Pure: bytes in, names out. */
#ifndef LYCH_LIBRARY_CACHE_DIRS_H
#define LYCH_LIBRARY_CACHE_DIRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../core/hidden.h"

#ifdef __cplusplus
extern "C" {
#endif

#define CACHE_DIR_BYTES 256

/*
 * The directory of the next library for this machine, from entry *at on, which moves on: absolute, without its last slash, not the
 * one just before it (*out as it was left by the call before; empty at first). false: there are no more, or it is no cache. What
 * an entry says that is no absolute path, or too long, is passed over. Nothing but file[0, bytes) is read.
 */
LYCH_HIDDEN bool cache_dir_next(const uint8_t *file, size_t bytes, uint32_t *at, char out[CACHE_DIR_BYTES]);

#ifdef __cplusplus
}
#endif

#endif /* LYCH_LIBRARY_CACHE_DIRS_H */
