/* SPDX-License-Identifier: Apache-2.0 */
#include <cpuid.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ldso.h"

#define MAX_LDSO (16u << 20)

/* ---- the processor ------------------------------------------------------------------------ */

struct cpuid {
	unsigned eax, ebx, ecx, edx;
};

static struct cpuid cpuid(unsigned leaf)
{
	struct cpuid r = {0};

	__get_cpuid_count(leaf, 0, &r.eax, &r.ebx, &r.ecx, &r.edx);
	return r;
}

static bool all(unsigned value, unsigned bits)
{
	return (value & bits) == bits;
}

/* Which register states the operating system saves; 0 without XSAVE. */
static unsigned xcr0(unsigned leaf1_ecx)
{
	unsigned low = 0, high;

	if (leaf1_ecx & bit_OSXSAVE) {
		__asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	}
	return low;
}

/*
 * The levels are those of the x86-64 psABI; the platform's rules are glibc's
 * (sysdeps/x86/cpu-features.c): a name of its own for Intel's processors only.
 */
struct ldso_cpu ldso_cpu_of_host(void)
{
	struct ldso_cpu cpu = {.level = 1, .platform = "x86_64"};
	struct cpuid vendor = cpuid(0), one = cpuid(1), seven = cpuid(7), ext = cpuid(0x80000001);
	const unsigned ext_lahf = 1u << 0, ext_lzcnt = 1u << 5;
	unsigned state = xcr0(one.ecx);
	bool avx_state = all(state, 0x6), avx512_state = all(state, 0xe6);
	bool v2 = all(one.ecx, bit_SSE3 | bit_SSSE3 | bit_CMPXCHG16B | bit_SSE4_1 | bit_SSE4_2 |
				       bit_POPCNT) &&
		  all(ext.ecx, ext_lahf);
	bool haswell = avx_state && all(one.ecx, bit_FMA | bit_MOVBE | bit_POPCNT) &&
		       all(seven.ebx, bit_AVX2 | bit_BMI | bit_BMI2) && all(ext.ecx, ext_lzcnt);
	bool v3 = v2 && haswell && all(one.ecx, bit_AVX | bit_F16C);
	bool avx512cd = avx512_state && all(seven.ebx, bit_AVX512F | bit_AVX512CD);
	bool v4 = v3 && avx512cd && all(seven.ebx, bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL);

	cpu.level = v4 ? 4 : v3 ? 3 : v2 ? 2 : 1;
	if (vendor.ebx == signature_INTEL_ebx && vendor.edx == signature_INTEL_edx &&
	    vendor.ecx == signature_INTEL_ecx) {
		if (avx512cd && all(seven.ebx, bit_AVX512ER)) {
			cpu.platform = seven.ebx & bit_AVX512PF ? "xeon_phi" : cpu.platform;
		} else if (avx512cd) {
			cpu.avx512_1 = all(seven.ebx, bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL);
		}
		if (haswell && strcmp(cpu.platform, "xeon_phi") != 0) {
			cpu.platform = "haswell";
		}
	}
	return cpu;
}

/* ---- builds of ld.so ---------------------------------------------------------------------- */

static const char *const debian_dirs[] = {"/lib/x86_64-linux-gnu/", "/usr/lib/x86_64-linux-gnu/",
					  "/lib/", "/usr/lib/", NULL};
static const char *const lib64_dirs[] = {"/lib64/", "/usr/lib64/", NULL};
static const char *const lib_dirs[] = {"/lib/", "/usr/lib/", NULL};

#define HOLDS(buf, len, text) (memmem(buf, len, text, sizeof(text) - 1) != NULL)

int ldso_recognise(struct ldso *out, const struct source *src)
{
	size_t len = 0;
	char *buf;

	*out = (struct ldso){
		.lib = "lib/x86_64-linux-gnu", .system_dirs = debian_dirs, .named = true};
	if (src == NULL || src->size == 0) {
		return 0;
	}
	len = src->size < MAX_LDSO ? (size_t)src->size : MAX_LDSO;
	buf = malloc(len);
	if (buf == NULL) {
		return -ENOMEM;
	}
	/* The default directories stand in it one after the other; the rest are words of its
	 * --help. */
	if (source_read_some(src, 0, buf, len, &len) == 0 && HOLDS(buf, len, "/ld.so.cache")) {
		if (!HOLDS(buf, len, "/lib/x86_64-linux-gnu/\0/usr/lib/x86_64-linux-gnu/")) {
			bool lib64 = HOLDS(buf, len, "/lib64/\0/usr/lib64/");

			out->lib = lib64 ? "lib64" : "lib";
			out->system_dirs = lib64 ? lib64_dirs : lib_dirs;
		}
		out->named = HOLDS(buf, len, "x86-64-v4:x86-64-v3:x86-64-v2");
		out->legacy = !out->named || HOLDS(buf, len, "Legacy HWCAP subdirectories");
	}
	free(buf);
	return 0;
}

void ldso_subdirs_of(struct ldso_subdirs *out, const struct ldso *ldso, const struct ldso_cpu *cpu)
{
	const char *parts[4];
	unsigned nparts = 0;

	out->count = 0;
	for (unsigned level = cpu->level; ldso->named && level >= 2; level--) {
		snprintf(out->items[out->count++], sizeof(out->items[0]),
			 "glibc-hwcaps/x86-64-v%u/", level);
	}
	if (ldso->legacy) {
		/* Every subset, the one with the most important part first. */
		parts[nparts++] = "x86_64";
		if (cpu->avx512_1) {
			parts[nparts++] = "avx512_1";
		}
		parts[nparts++] = cpu->platform;
		parts[nparts++] = "tls";
	}
	for (unsigned set = 1u << nparts; set-- > 0;) {
		char *item = out->items[out->count++];

		item[0] = '\0';
		for (unsigned i = nparts; i-- > 0;) {
			if (set & (1u << i)) {
				strcat(strcat(item, parts[i]), "/");
			}
		}
	}
}

/* ---- tokens and directories --------------------------------------------------------------- */

static bool in_identifier(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '_';
}

/* How long the token at text (behind the dollar sign) is when it is name, else 0. */
static size_t token_len(const char *text, const char *name)
{
	size_t len = strlen(name);

	if (text[0] == '{') {
		return strncmp(text + 1, name, len) == 0 && text[len + 1] == '}' ? len + 2 : 0;
	}
	return strncmp(text, name, len) == 0 && !in_identifier(text[len]) ? len : 0;
}

int ldso_expand(char **out, const char *text, const struct ldso_tokens *tokens)
{
	const char *const names[] = {"ORIGIN", "LIB", "PLATFORM"};
	const char *values[] = {tokens->origin, tokens->lib, tokens->platform};
	char buf[PATH_MAX];
	size_t len = 0;

	while (*text != '\0') {
		const char *from = text;
		size_t n = 1, skip = 1;

		for (size_t i = 0; *text == '$' && i < 3; i++) {
			size_t token = token_len(text + 1, names[i]);

			if (token > 0) {
				from = values[i];
				n = strlen(from);
				skip = 1 + token;
				break;
			}
		}
		if (n >= sizeof(buf) - len) {
			return -EFBIG;
		}
		memcpy(buf + len, from, n);
		len += n;
		text += skip;
	}
	buf[len] = '\0';
	*out = strdup(buf);
	return *out != NULL ? 0 : -ENOMEM;
}

static int append(struct ldso_dirs *dirs, const char *path, size_t max_bytes)
{
	size_t cost = strlen(path) + 1 + 2 * sizeof(char *);
	char *copy;

	if (cost > max_bytes - dirs->bytes) {
		return -EFBIG;
	}
	/* Grown to each power of two. */
	if ((dirs->count & (dirs->count - 1)) == 0) {
		size_t room = dirs->count == 0 ? 1 : dirs->count * 2;
		char **grown = realloc(dirs->items, room * sizeof(*grown));

		if (grown == NULL) {
			return -ENOMEM;
		}
		dirs->items = grown;
	}
	copy = strdup(path);
	if (copy == NULL) {
		return -ENOMEM;
	}
	dirs->items[dirs->count++] = copy;
	dirs->bytes += cost;
	return 0;
}

static bool is_directory(const char *path, size_t *probes)
{
	struct stat st;

	(*probes)--;
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* dir: without tokens, room for a slash. */
static int add_directory(struct ldso_dirs *dirs, char *dir, const struct ldso_subdirs *subdirs,
			 size_t *probes, size_t max_bytes)
{
	char path[PATH_MAX + sizeof(subdirs->items[0])];
	size_t len = strlen(dir);

	if (len == 0) {
		dir[len++] = '.';
	}
	while (len > 1 && dir[len - 1] == '/') {
		len--;
	}
	if (dir[len - 1] != '/') {
		dir[len++] = '/';
	}
	dir[len] = '\0';
	if (*probes <= subdirs->count) {
		return -EFBIG;
	}
	if (!is_directory(dir, probes)) {
		return 0;
	}
	for (size_t i = 0; i < subdirs->count; i++) {
		int rc;

		snprintf(path, sizeof(path), "%s%s", dir, subdirs->items[i]);
		if (subdirs->items[i][0] != '\0' && !is_directory(path, probes)) {
			continue;
		}
		rc = append(dirs, path, max_bytes);
		if (rc != 0) {
			return rc;
		}
	}
	return 0;
}

int ldso_dirs_add(struct ldso_dirs *dirs, const char *list, const char *separators,
		  const struct ldso_tokens *tokens, const struct ldso_subdirs *subdirs,
		  size_t *probes, size_t max_bytes)
{
	for (;;) {
		size_t len = strcspn(list, separators);
		char dir[PATH_MAX + 2];
		char *expanded = NULL;
		int rc = 0;

		/* What is too long for a path is no directory. */
		if (len < PATH_MAX) {
			memcpy(dir, list, len);
			dir[len] = '\0';
			if (tokens != NULL) {
				rc = ldso_expand(&expanded, dir, tokens);
				if (rc == 0) {
					strcpy(dir, expanded);
					free(expanded);
				}
			}
			if (rc == 0) {
				rc = add_directory(dirs, dir, subdirs, probes, max_bytes);
			} else if (rc == -EFBIG) {
				rc = 0;
			}
		}
		if (rc != 0) {
			return rc;
		}
		if (list[len] == '\0') {
			return 0;
		}
		list += len + 1;
	}
}

void ldso_dirs_free(struct ldso_dirs *dirs)
{
	for (size_t i = 0; i < dirs->count; i++) {
		free(dirs->items[i]);
	}
	free(dirs->items);
	*dirs = (struct ldso_dirs){0};
}
