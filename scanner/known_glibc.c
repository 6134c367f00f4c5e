/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions of glibc that write PKRU, byte for byte from entry to end. A path or a symbol's name proves
 * nothing: whoever wants to hide a WRPKRU can call his file libc.so.6.
 *
 * Each was written down from `objdump -d` of these Debian packages (amd64):
 *
 *	libc6 2.36-9+deb12u14      libc.so.6: pkey_set; ld-linux-x86-64.so.2: both resolvers
 *	libc6 2.41-12+deb13u4      the same, and ld.so's _dl_tlsdesc_dynamic_xsave and _xsavec
 *	libc6-dev, both versions   a program linked with -static that calls pkey_set: pkey_set with errno's
 *	                           offset as an immediate; the resolvers do not differ from ld.so's
 *
 * ?? stands for bytes that the link editor fills in: the displacement of _rtld_global_ro (the size of the
 * save area), of errno's offset, and of the call to _dl_fixup or __tls_get_addr_slow. Nothing else varies.
 * [ stands before the WRPKRU or XRSTOR. Padding behind a function is not part of it.
 *
 * Other builds (other distributions, with endbr64, other compilers) are not known, and strays.
 */
#include <string.h>

#include "place.h"

/* The longest function below, with room; a template that does not fit never matches. */
#define KNOWN_MAX 320

/* rdx is 0: the XSAVE header from off on, 8 bytes each */
#define CLEAR_FROM_240 "48899424 40020000 48899424 48020000" CLEAR_FROM_250
#define CLEAR_FROM_250                                                                           \
	"48899424 50020000 48899424 58020000 48899424 60020000 48899424 68020000"                \
	"48899424 70020000 48899424 78020000"

#define XSAVE_AT_40 "0fae642440"
#define XSAVEC_AT_40 "0fc7642440"

/* sysdeps/x86_64/dl-trampoline.h; mask is the state component bitmap in EAX */
#define RESOLVER(mask, clear, save)                                                              \
	"53"             /* push %rbx */                                                         \
	"4889e3"         /* mov %rsp,%rbx */                                                     \
	"4883e4c0"       /* and $-64,%rsp */                                                     \
	"482b25????????" /* sub _rtld_global_ro+..(%rip),%rsp */                                 \
	"48890424"       /* mov %rax,(%rsp) */                                                   \
	"48894c2408"     /* mov %rcx,8(%rsp) */                                                  \
	"4889542410"     /* mov %rdx,16(%rsp) */                                                 \
	"4889742418"     /* mov %rsi,24(%rsp) */                                                 \
	"48897c2420"     /* mov %rdi,32(%rsp) */                                                 \
	"4c89442428"     /* mov %r8,40(%rsp) */                                                  \
	"4c894c2430"     /* mov %r9,48(%rsp) */                                                  \
	"b8" mask        /* mov $mask,%eax */                                                    \
	"31d2"           /* xor %edx,%edx */                                                     \
	clear save                                                                               \
	"488b7310"       /* mov 16(%rbx),%rsi */                                                 \
	"488b7b08"       /* mov 8(%rbx),%rdi */                                                  \
	"e8????????"     /* call _dl_fixup */                                                    \
	"4989c3"         /* mov %rax,%r11 */                                                     \
	"b8" mask        /* mov $mask,%eax */                                                    \
	"31d2"           /* xor %edx,%edx */                                                     \
	"[0fae6c2440"    /* xrstor 64(%rsp) */                                                   \
	"4c8b4c2430"     /* mov 48(%rsp),%r9 */                                                  \
	"4c8b442428"     /* mov 40(%rsp),%r8 */                                                  \
	"488b7c2420"     /* mov 32(%rsp),%rdi */                                                 \
	"488b742418"     /* mov 24(%rsp),%rsi */                                                 \
	"488b542410"     /* mov 16(%rsp),%rdx */                                                 \
	"488b4c2408"     /* mov 8(%rsp),%rcx */                                                  \
	"488b0424"       /* mov (%rsp),%rax */                                                   \
	"4889dc"         /* mov %rbx,%rsp */                                                     \
	"488b1c24"       /* mov (%rsp),%rbx */                                                   \
	"4883c418"       /* add $24,%rsp */                                                      \
	"41ffe3"         /* jmp *%r11 */

/* sysdeps/x86_64/dl-tlsdesc-dynamic.h; jump: back to the fast path's end */
#define TLSDESC(clear, save, jump)                                                               \
	"48897424f0"         /* mov %rsi,-16(%rsp) */                                            \
	"64488b342508000000" /* mov %fs:8,%rsi */                                                \
	"48897c24f8"         /* mov %rdi,-8(%rsp) */                                             \
	"488b7808"           /* mov 8(%rax),%rdi */                                              \
	"488b06"             /* mov (%rsi),%rax */                                               \
	"48394710"           /* cmp %rax,16(%rdi) */                                             \
	"7729"               /* ja slow */                                                       \
	"488b07"             /* mov (%rdi),%rax */                                               \
	"48c1e004"           /* shl $4,%rax */                                                   \
	"488b0430"           /* mov (%rax,%rsi),%rax */                                          \
	"4883f8ff"           /* cmp $-1,%rax */                                                  \
	"7418"               /* je slow */                                                       \
	"48034708"           /* add 8(%rdi),%rax */                                              \
	"488b7424f0"         /* mov -16(%rsp),%rsi */                                            \
	"64482b042500000000" /* sub %fs:0,%rax */                                                \
	"488b7c24f8"         /* mov -8(%rsp),%rdi */                                             \
	"c3"                 /* ret */                                                           \
	"48895c24e8"         /* slow: mov %rbx,-24(%rsp) */                                      \
	"4889e3"             /* mov %rsp,%rbx */                                                 \
	"4883e4c0"           /* and $-64,%rsp */                                                 \
	"482b25????????"     /* sub _dl_x86_features_tlsdesc_state_size(%rip),%rsp */            \
	"48890c24"           /* mov %rcx,(%rsp) */                                               \
	"4889542408"         /* mov %rdx,8(%rsp) */                                              \
	"4c89442410"         /* mov %r8,16(%rsp) */                                              \
	"4c894c2418"         /* mov %r9,24(%rsp) */                                              \
	"4c89542420"         /* mov %r10,32(%rsp) */                                             \
	"4c895c2428"         /* mov %r11,40(%rsp) */                                             \
	"b8ef000e00"         /* mov $0xe00ef,%eax */                                             \
	"31d2"               /* xor %edx,%edx */                                                 \
	clear save                                                                               \
	"e8????????"         /* call __tls_get_addr_slow */                                      \
	"4889c1"             /* mov %rax,%rcx */                                                 \
	"b8ef000e00"         /* mov $0xe00ef,%eax */                                             \
	"31d2"               /* xor %edx,%edx */                                                 \
	"[0fae6c2440"        /* xrstor 64(%rsp) */                                               \
	"4889c8"             /* mov %rcx,%rax */                                                 \
	"4c8b5c2428"         /* mov 40(%rsp),%r11 */                                             \
	"4c8b542420"         /* mov 32(%rsp),%r10 */                                             \
	"4c8b4c2418"         /* mov 24(%rsp),%r9 */                                              \
	"4c8b442410"         /* mov 16(%rsp),%r8 */                                              \
	"488b542408"         /* mov 8(%rsp),%rdx */                                              \
	"488b0c24"           /* mov (%rsp),%rcx */                                               \
	"4889dc"             /* mov %rbx,%rsp */                                                 \
	"488b5c24e8"         /* mov -24(%rsp),%rbx */                                            \
	"e9" jump            /* jmp to the mov of -16(%rsp) above */

/* sysdeps/unix/sysv/linux/x86/pkey_set.c; errno_offset loads errno's offset from fs */
#define PKEY_SET(errno_offset)                                                                   \
	"83ff0f"           /* cmp $15,%edi */                                                    \
	"773b"             /* ja fail */                                                         \
	"83fe03"           /* cmp $3,%esi */                                                     \
	"7736"             /* ja fail */                                                         \
	"4531c0"           /* xor %r8d,%r8d */                                                   \
	"01ff"             /* add %edi,%edi */                                                   \
	"4489c1"           /* mov %r8d,%ecx */                                                   \
	"0f01ee"           /* rdpkru */                                                          \
	"ba03000000"       /* mov $3,%edx */                                                     \
	"89f9"             /* mov %edi,%ecx */                                                   \
	"4189c1"           /* mov %eax,%r9d */                                                   \
	"d3e2"             /* shl %cl,%edx */                                                    \
	"d3e6"             /* shl %cl,%esi */                                                    \
	"4489c1"           /* mov %r8d,%ecx */                                                   \
	"89d0"             /* mov %edx,%eax */                                                   \
	"4489c2"           /* mov %r8d,%edx */                                                   \
	"f7d0"             /* not %eax */                                                        \
	"4421c8"           /* and %r9d,%eax */                                                   \
	"09f0"             /* or %esi,%eax */                                                    \
	"[0f01ef"          /* wrpkru */                                                          \
	"31c0"             /* xor %eax,%eax */                                                   \
	"c3"               /* ret */                                                             \
	"0f1f840000000000" /* nopl */                                                            \
	errno_offset       /* fail: */                                                           \
	"64c70016000000"   /* movl $EINVAL,%fs:(%rax) */                                         \
	"b8ffffffff"       /* mov $-1,%eax */                                                    \
	"c3"               /* ret */

#define GLIBC(function) "glibc's " function ", identified by its code"

static const struct {
	const char *what;
	const char *code;
} known[] = {
	/* mov errno@gottpoff(%rip),%rax; linked statically mov $errno@tpoff,%rax */
	{GLIBC("pkey_set"), PKEY_SET("488b05????????")},
	{GLIBC("pkey_set"), PKEY_SET("48c7c0????????")},
	/* 2.36 */
	{GLIBC("_dl_runtime_resolve_xsave"), RESOLVER("ee000000", CLEAR_FROM_240, XSAVE_AT_40)},
	{GLIBC("_dl_runtime_resolve_xsavec"), RESOLVER("ee000000", CLEAR_FROM_250, XSAVEC_AT_40)},
	/* 2.41 */
	{GLIBC("_dl_runtime_resolve_xsave"), RESOLVER("ee000800", CLEAR_FROM_240, XSAVE_AT_40)},
	{GLIBC("_dl_runtime_resolve_xsavec"), RESOLVER("ee000800", CLEAR_FROM_250, XSAVEC_AT_40)},
	{GLIBC("_dl_tlsdesc_dynamic_xsave"), TLSDESC(CLEAR_FROM_240, XSAVE_AT_40, "2fffffff")},
	{GLIBC("_dl_tlsdesc_dynamic_xsavec"), TLSDESC(CLEAR_FROM_250, XSAVEC_AT_40, "3fffffff")},
};

static int digit(char c)
{
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* A template as bytes and masks. Returns its length, 0 when it is too long; *hit: offset of the mark. */
static size_t expand(const char *code, uint8_t *bytes, uint8_t *mask, size_t *hit)
{
	size_t n = 0;

	for (; *code != '\0'; code++) {
		if (*code == ' ') {
			continue;
		}
		if (*code == '[') {
			*hit = n;
			continue;
		}
		if (n == KNOWN_MAX) {
			return 0;
		}
		mask[n] = code[0] == '?' ? 0 : 0xff;
		bytes[n] = code[0] == '?' ? 0 : (uint8_t)(digit(code[0]) << 4 | digit(code[1]));
		n++;
		code++;
	}
	return n;
}

static bool matches(const char *template, const struct hit *hit, const struct code *code)
{
	uint8_t want[KNOWN_MAX], mask[KNOWN_MAX], have[KNOWN_MAX];
	size_t at = 0;
	size_t n = expand(template, want, mask, &at);

	if (n == 0 || hit->core < at || !code_bytes(code, hit->core - at, have, n)) {
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		if ((have[i] & mask[i]) != want[i]) {
			return false;
		}
	}
	return true;
}

const char *known_glibc(const struct hit *hit, const struct code *code)
{
	if (hit->cls != LYCH_WRPKRU && hit->cls != LYCH_XRSTOR) {
		return NULL;
	}
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (matches(known[i].code, hit, code)) {
			return known[i].what;
		}
	}
	return NULL;
}
