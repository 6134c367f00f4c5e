/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A library nobody should load beside protection keys. Both functions give whoever jumps to the right
 * byte the rights to all memory of the process; the README beside this file says how.
 */
#include <immintrin.h>
#include <stdint.h>

#define EXPORTED __attribute__((visibility("default")))

/* Declared here: a library this small needs no header. */
uint32_t planted_checksum(uint32_t value);
void planted_open_everything(void);

/*
 * Looks like any checksum. But its constant lies in the instruction as 0f 01 ef 00, and who jumps one
 * byte into that instruction runs 0f 01 ef: WRPKRU.
 */
EXPORTED uint32_t planted_checksum(uint32_t value)
{
	return value ^ 0x00ef010f;
}

/* The same spelled out: all rights to all keys. */
EXPORTED __attribute__((target("pku"))) void planted_open_everything(void)
{
	_wrpkru(0);
}
