/* SPDX-License-Identifier: Apache-2.0 */
/* Names for people: foreign machines, and strings that come from hostile files. Pure. */
#include <elf.h>
#include <stdio.h>
#include <string.h>

#include "elf.h"

static const struct {
	uint16_t machine;
	const char *name;
} machines[] = {
	{EM_386, "i386"},        {EM_X86_64, "x86-64"},   {EM_ARM, "arm"},
	{EM_AARCH64, "aarch64"}, {EM_RISCV, "riscv"},     {EM_PPC, "powerpc"},
	{EM_PPC64, "powerpc64"}, {EM_S390, "s390"},       {EM_MIPS, "mips"},
	{EM_SPARC, "sparc"},     {EM_SPARCV9, "sparc64"}, {EM_IA_64, "ia64"},
	{EM_68K, "m68k"},        {EM_SH, "sh"},           {EM_PARISC, "hppa"},
	{EM_ALPHA, "alpha"},     {258, "loongarch"},      {EM_BPF, "bpf"},
	{EM_AVR, "avr"},         {EM_XTENSA, "xtensa"},   {EM_AMDGPU, "amdgpu"},
};

const char *elf_foreign_name(const uint8_t *head, size_t len, char *buf, size_t buf_bytes)
{
	const char *name = NULL;
	const char *order = "";
	char class_text[24] = "ELF";
	char machine_text[24];
	uint16_t machine;
	bool big;

	if (len < offsetof(Elf64_Ehdr, e_version)) {
		snprintf(buf, buf_bytes, "ELF (truncated)");
		return buf;
	}
	big = head[EI_DATA] == ELFDATA2MSB;
	machine = big ? (uint16_t)(head[18] << 8 | head[19]) : (uint16_t)(head[19] << 8 | head[18]);
	for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++) {
		if (machines[i].machine == machine) {
			name = machines[i].name;
		}
	}
	if (name == NULL) {
		snprintf(machine_text, sizeof(machine_text), "machine %u", machine);
		name = machine_text;
	}
	if (big) {
		order = " (big-endian)";
	} else if (head[EI_DATA] != ELFDATA2LSB) {
		order = " (unknown byte order)";
	}
	if (head[EI_CLASS] == ELFCLASS32 && machine == EM_X86_64 && !big) {
		snprintf(buf, buf_bytes, "x32%s", order);
		return buf;
	}
	if (head[EI_CLASS] == ELFCLASS32 || head[EI_CLASS] == ELFCLASS64) {
		snprintf(class_text, sizeof(class_text), "ELF%s",
			 head[EI_CLASS] == ELFCLASS32 ? "32" : "64");
	} else {
		snprintf(class_text, sizeof(class_text), "ELF class %u", head[EI_CLASS]);
	}
	snprintf(buf, buf_bytes, "%s %s%s", class_text, name, order);
	return buf;
}

/* The length of the UTF-8 character at s, and its code point; 0: it is none (RFC 3629, section 4).
 */
static size_t utf8_char(const uint8_t *s, size_t len, uint32_t *code)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = s[0] < 0x80   ? 1
		   : s[0] < 0xc2 ? 0
		   : s[0] < 0xe0 ? 2
		   : s[0] < 0xf0 ? 3
		   : s[0] < 0xf5 ? 4
				 : 0;

	if (n == 0 || n > len) {
		return 0;
	}
	*code = n == 1 ? s[0] : s[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80) {
			return 0;
		}
		*code = *code << 6 | (s[i] & 0x3f);
	}
	if (*code < least[n] || *code > 0x10ffff || (*code >= 0xd800 && *code < 0xe000)) {
		return 0;
	}
	return n;
}

/* Ends a line, moves the cursor, or changes the direction of the text that follows. */
static bool is_control(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x61c || code == 0xfeff ||
	       (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
	       (code >= 0x2060 && code <= 0x206f);
}

void elf_clean_string(char *dst, size_t size, const char *src, size_t len)
{
	size_t out = 0;

	for (size_t i = 0; i < len && src[i] != '\0';) {
		uint32_t code;
		size_t n = utf8_char((const uint8_t *)src + i, len - i, &code);
		bool bad = n == 0 || is_control(code);
		size_t width = bad ? 1 : n;

		if (size < 1 + width || out > size - 1 - width) {
			break;
		}
		if (bad) {
			dst[out] = '?';
		} else {
			memcpy(dst + out, src + i, n);
		}
		out += width;
		i += n == 0 ? 1 : n;
	}
	if (size > 0) {
		dst[out] = '\0';
	}
}
