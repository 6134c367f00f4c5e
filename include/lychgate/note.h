/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ELF note that lists the sites of a file: the addresses right after a WRPKRU of ours. Usable
 * from C and from assembly.
 *
 * Section ".note.lychgate" (allocated, read-only, inside PT_NOTE), owner "Lychgate", type
 * LYCH_NOTE_SITES, 4-byte alignment. The descriptor is a sequence of entries, each
 *
 *	int32_t  site      address of the site minus the address of this field (so that no
 *	                   dynamic relocation is needed: ".long site - .")
 *	uint8_t  kind      LYCH_SITE_*
 *	uint8_t  nbefore   bytes of code before the site that follow, 3 to 64: the WRPKRU is in them
 *	uint8_t  nafter    bytes of code from the site on that follow, 1 to 64
 *	uint8_t  zero      0
 *	uint8_t  bytes[nbefore + nafter], padded with zeros to a multiple of 4
 *
 * The scanner gives the verdict "gate" only when the entry's address is the end of the WRPKRU, all
 * listed bytes are those in the file, and the bytes at the site compare EAX with a value that
 * the caller cannot choose and trap when it differs:
 *
 *	LYCH_SITE_GS    not %eax		F7 D0
 *			cmp %gs:disp32,%eax	65 3B 04 25 disp32, below 65536: whoever loads a
 *						selector makes the gs base 0, and must find no memory
 *	LYCH_SITE_IMM   cmp $imm32,%eax		3D imm32 (also for 0: never the shorter form)
 *
 * What the gs base points at holds views complemented, hence the NOT: where memory is zero the only value
 * that passes is "everything denied". Compared as it stands, zero would be "everything open", and the compare
 * alone is no gate.
 *
 * either followed at once by `jne` (rel8 or rel32) to a `ud2` in executable memory of the same file.
 *
 * Who writes the file writes the note. It therefore means something only in code that the host
 * trusts; code for a domain is scanned with no gates accepted (LYCH_SCAN_NO_GATES).
 */
#ifndef LYCHGATE_NOTE_H
#define LYCHGATE_NOTE_H

#define LYCH_NOTE_SECTION ".note.lychgate"
#define LYCH_NOTE_OWNER "Lychgate"
#define LYCH_NOTE_SITES 1

#define LYCH_SITE_GS 1
#define LYCH_SITE_IMM 2

#endif /* LYCHGATE_NOTE_H */
