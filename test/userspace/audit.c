/* SPDX-License-Identifier: Apache-2.0 */
/* An audit library (rtld-audit(7)). With LYCH_AUDIT_ENTER it looks at each call, too. */
#include <link.h>
#include <string.h>

unsigned int la_version(unsigned int version)
{
	return version;
}

unsigned int la_objopen(struct link_map *map, Lmid_t lmid, uintptr_t *cookie)
{
	(void)map;
	(void)lmid;
	(void)cookie;
	return LA_FLG_BINDTO | LA_FLG_BINDFROM;
}

static int other_value(int x)
{
	return x + 101;
}

uintptr_t la_symbind64(Elf64_Sym *sym, unsigned int ndx, uintptr_t *refcook, uintptr_t *defcook,
		       unsigned int *flags, const char *name)
{
	(void)ndx;
	(void)refcook;
	(void)defcook;
	(void)flags;
	return strcmp(name, "audited_value") == 0 ? (uintptr_t)other_value : sym->st_value;
}

#ifdef LYCH_AUDIT_ENTER
Elf64_Addr la_x86_64_gnu_pltenter(Elf64_Sym *sym, unsigned int ndx, uintptr_t *refcook,
				  uintptr_t *defcook, La_x86_64_regs *regs, unsigned int *flags,
				  const char *name, long int *frame_bytes)
{
	(void)ndx;
	(void)refcook;
	(void)defcook;
	(void)flags;
	if (strcmp(name, "audited_added") == 0) {
		regs->lr_rdi += 1000;
		*frame_bytes = 256;
	}
	return sym->st_value;
}

unsigned int la_x86_64_gnu_pltexit(Elf64_Sym *sym, unsigned int ndx, uintptr_t *refcook,
				   uintptr_t *defcook, const La_x86_64_regs *in,
				   La_x86_64_retval *out, const char *name)
{
	(void)sym;
	(void)ndx;
	(void)refcook;
	(void)defcook;
	(void)out;
	if (strcmp(name, "audited_added") == 0) {
		++*(int *)in->lr_rsi;
	}
	return 0;
}
#endif
