/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Planning in a child: it reads what files claim about code, and code itself, so it has no rights that anybody could want.
 * It is a copy of the process in which no signal is delivered and that may make no system call but the one that ends it
 * (before that it maps the files it needs); what it has to say it writes into memory that the parent copies before
 * it looks at it. The child has no exit signal and no fork handler runs in it: the program hears nothing of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "../../scanner/repair_know.h"
#include "../core/asm.h"
#include "../core/why.h"
#include "parts.h"

/* What it may need at worst is some seconds (repair.h, place.h). */
#define CHILD_SECONDS 60
#define BREAKPOINT 0xcc
/* Between two looks whether it is over; where the kernel does not wake us when it has ended. */
#define SLICE_NS 100000000
#define SHORT_NS 1000000
/* What the answer says while there is none. */
#define OPENING 1
#define PLANNING 2

/* What is known of the file behind a mapping. */
struct behind {
	const struct code_map *of; /* one of its mappings */
	bool known;
	const void *bytes;
	size_t size;
	struct elf elf;
	size_t map; /* the bias is that of this mapping */
	bool biased;
	uint64_t bias;
};

struct planner {
	const struct plan *plan;
	struct code code;
	struct place_memo memo;
	struct repair repair;
	struct plan_answer *answer;
};

static size_t answer_bytes(size_t hits)
{
	return sizeof(struct plan_answer) + hits * (sizeof(struct plan_item) + PLAN_EDITS_EACH * sizeof(struct repair_edit) +
						    sizeof(struct repair_trampoline) + sizeof(struct repair_area)) + 64;
}

struct parts {
	struct plan_item *items;
	struct repair_edit *edits;
	struct repair_trampoline *trampolines;
	struct repair_area *no_exec;
};

static void *part(char **at, size_t n, size_t bytes)
{
	char *here = (char *)(((uintptr_t)*at + 15) & ~(uintptr_t)15);

	*at = here + n * bytes;
	return here;
}

static struct parts parts_of(struct plan_answer *answer, size_t hits)
{
	char *at = (char *)(answer + 1);
	struct parts p;

	p.items = part(&at, hits, sizeof(*p.items));
	p.edits = part(&at, PLAN_EDITS_EACH * hits, sizeof(*p.edits));
	p.trampolines = part(&at, hits, sizeof(*p.trampolines));
	p.no_exec = part(&at, hits, sizeof(*p.no_exec));
	return p;
}

/* ---- the child: files ---------------------------------------------------------------------------------------- */

/* A mapped file may become shorter: then the child ends by SIGBUS. */
static const void *map_file(const char *path, size_t *size)
{
	long fd = sys4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);
	struct stat st;
	long at = -ENOENT;

	if (fd < 0) {
		return NULL;
	}
	if (sys2(SYS_fstat, fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
		*size = (size_t)st.st_size;
		at = sys6(SYS_mmap, 0, (long)*size, PROT_READ, MAP_PRIVATE, fd, 0);
	}
	sys1(SYS_close, fd);
	return at > 0 ? (const void *)at : NULL;
}

/*
 * What has the name now need not be what was mapped: it must hold the same code around the sequence. But for
 * breakpoints that a debugger has set in other places of the page.
 */
static bool same_code(const struct behind *b, const struct code_map *map, const struct hit *hit)
{
	uint64_t start = page_down(hit->vaddr), end = page_up(hit->vaddr + hit->len);
	uint64_t off = map->off + (start - map->start);
	size_t bytes = (size_t)(end - start);

	if (end > map->end || off >= b->size) {
		return false;
	}
	/* the end of a file's last page is zeros in memory */
	bytes = bytes < b->size - off ? bytes : (size_t)(b->size - off);
	for (size_t i = 0; i < bytes; i++) {
		uint8_t now = ((const uint8_t *)(uintptr_t)start)[i];
		bool far = start + i + LYCH_SEQUENCE_MAX < hit->vaddr || start + i >= hit->vaddr + hit->len + LYCH_SEQUENCE_MAX;

		if (now != ((const uint8_t *)b->bytes)[off + i] && !(now == BREAKPOINT && far)) {
			return false;
		}
	}
	return true;
}

/* Two files may have had the same name. */
static bool same_file(const struct code_map *a, const struct code_map *b)
{
	return strcmp(a->path, b->path) == 0 && a->inode == b->inode && a->dev == b->dev && a->deleted == b->deleted;
}

static void map_behind(struct behind *b, const struct code_map *map, const struct hit *hit)
{
	b->of = map;
	if (map->content != NULL) {
		b->bytes = map->file;
		b->size = map->file_bytes;
	} else if (strcmp(map->path, "[vdso]") == 0) {
		b->bytes = (const void *)(uintptr_t)map->start;
		b->size = (size_t)(map->end - map->start);
	} else if (map->path[0] == '/' && !map->deleted) {
		b->bytes = map_file(map->path, &b->size);
		if (b->bytes != NULL && !same_code(b, map, hit)) {
			b->bytes = NULL;
		}
	}
}

/* All files that hold sequences, before the child may open no more; nothing of what they say is read. */
static struct behind *map_files(const struct plan *plan)
{
	struct behind *files = arena_take((plan->hits->count + 1) * sizeof(*files));
	size_t n = 0;

	for (size_t i = 0; files != NULL && i < plan->hits->count; i++) {
		const struct code_hit *found = &plan->hits->items[i];
		const struct code_map *map = &plan->maps->items[found->map];

		if (n == 0 || !same_file(files[n - 1].of, map)) {
			map_behind(&files[n++], map, &found->hit);
		}
	}
	return files;
}

static void know_file(struct behind *b)
{
	struct source src;
	const char *why;

	if (b->bytes != NULL) {
		src = source_from_memory(b->bytes, b->size);
		b->known = elf_open(&b->elf, &src, &why) == 0;
		b->bytes = NULL;
	}
}

static void know_bias(struct behind *b, const struct plan *plan, size_t map)
{
	if (b->known && (!b->biased || b->map != map)) {
		const struct code_map *m = &plan->maps->items[map];

		b->map = map;
		b->biased = elf_bias(&b->elf, m->start, m->off, &b->bias);
	}
}

/* ---- the child: planning ------------------------------------------------------------------------------------- */

static void copy_text(char *out, size_t size, const char *text)
{
	size_t len = strlen(text);

	len = len < size ? len : size - 1;
	memcpy(out, text, len);
	out[len] = '\0';
}

static int plan_one(struct planner *p, struct behind *b, const struct code_hit *found, struct plan_item *item)
{
	struct repair_stray stray = {.hit = found->hit, .verdict = found->verdict, .pages_hold_code = true};
	struct repair_outcome outcome;
	struct placement placement;
	struct elf_where where;
	bool explained = b->known && b->biased;
	int rc;

	if (explained) {
		elf_where_at(&b->elf, b->bias, found->hit.vaddr, &where);
		if (where.has_symbol && (where.symbol_size == 0 || found->hit.vaddr - where.symbol_start < where.symbol_size)) {
			copy_text(item->symbol, sizeof(item->symbol), where.symbol);
			item->into = found->hit.vaddr - where.symbol_start;
		}
	}
	place_hit_memo(&placement, &p->memo, &found->hit, explained ? &where : NULL, &p->code);
	stray.placement = placement.placement;
	stray.insn_vaddr = placement.insn_vaddr;
	stray.why = placement.why;
	if (explained) {
		repair_know(&stray, &b->elf, b->bias);
	}
	rc = repair_add(&p->repair, &stray, &outcome);
	item->kind = (uint8_t)outcome.kind;
	copy_text(item->why, sizeof(item->why), outcome.why);
	return rc;
}

static int plan_all(struct planner *p, struct behind *files, struct parts *parts)
{
	const struct plan *plan = p->plan;
	struct behind *b = files;
	int rc = repair_begin(&p->repair, &p->code, &plan->options);

	for (size_t i = 0; rc == 0 && i < plan->hits->count; i++) {
		const struct code_hit *found = &plan->hits->items[i];

		if (!same_file(b->of, &plan->maps->items[found->map])) {
			b++;
		}
		know_file(b);
		know_bias(b, plan, found->map);
		rc = plan_one(p, b, found, &parts->items[i]);
	}
	if (rc != 0) {
		return rc;
	}
	/* As many as there is room for: a planner that makes more is broken, and what is left out is missed later. */
	p->answer->nedits = (uint32_t)p->repair.nedits;
	p->answer->ntrampolines = (uint32_t)p->repair.ntrampolines;
	p->answer->nno_exec = (uint32_t)p->repair.nno_exec;
	if (p->repair.nedits > PLAN_EDITS_EACH * plan->hits->count || p->repair.ntrampolines > plan->hits->count ||
	    p->repair.nno_exec > plan->hits->count) {
		return -E2BIG;
	}
	memcpy(parts->edits, p->repair.edits, p->repair.nedits * sizeof(*parts->edits));
	memcpy(parts->trampolines, p->repair.trampolines, p->repair.ntrampolines * sizeof(*parts->trampolines));
	memcpy(parts->no_exec, p->repair.no_exec, p->repair.nno_exec * sizeof(*parts->no_exec));
	return 0;
}

/* From here on the child can compute and end. */
static bool confine(void)
{
	struct sock_filter only_exit[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog prog = {sizeof(only_exit) / sizeof(only_exit[0]), only_exit};

	return sys5(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       sys3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) == 0;
}

static void limit(int resource, uint64_t most)
{
	struct rlimit to = {most, most};

	sys4(SYS_prlimit64, 0, resource, &to, NULL);
}

static int child(const struct plan *plan, struct plan_answer *answer)
{
	struct planner *p = arena_take(sizeof(*p));
	struct behind *files;
	struct parts parts = parts_of(answer, plan->hits->count);

	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_CPU, CHILD_SECONDS);
	sys5(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
	sys5(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	files = map_files(plan);
	if (p == NULL || files == NULL) {
		return -ENOMEM;
	}
	if (!confine()) {
		return -EACCES;
	}
	answer->rc = PLANNING;
	p->plan = plan;
	p->code = (struct code){maps_code, (void *)plan->maps};
	p->answer = answer;
	return plan_all(p, files, &parts);
}

/* ---- the parent ---------------------------------------------------------------------------------------------- */

static void clean_text(char *text, size_t size)
{
	char raw[256];

	memcpy(raw, text, size);
	elf_clean_string(text, size, raw, strnlen(raw, size));
}

/* Copies what the child says; afterwards nobody changes it any more. 0, -ENOMEM, -EPROTO: it cannot be a plan. */
static int copy_answer(struct plan *plan, const struct plan_answer *shared, size_t bytes)
{
	struct plan_answer *answer = arena_take(bytes + 16);
	struct parts parts;

	if (answer == NULL) {
		return -ENOMEM;
	}
	memcpy(answer, shared, bytes);
	parts = parts_of(answer, plan->hits->count);
	if (answer->nedits > PLAN_EDITS_EACH * plan->hits->count || answer->ntrampolines > plan->hits->count ||
	    answer->nno_exec > plan->hits->count) {
		return -EPROTO;
	}
	for (size_t i = 0; i < plan->hits->count; i++) {
		clean_text(parts.items[i].symbol, sizeof(parts.items[i].symbol));
		clean_text(parts.items[i].why, sizeof(parts.items[i].why));
	}
	plan->items = parts.items;
	plan->edits = parts.edits;
	plan->trampolines = parts.trampolines;
	plan->no_exec = parts.no_exec;
	plan->nedits = answer->nedits;
	plan->ntrampolines = answer->ntrampolines;
	plan->nno_exec = answer->nno_exec;
	return 0;
}

static int judge(struct plan *plan, const struct plan_answer *shared, size_t bytes, int status)
{
	int rc;

	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS && shared->rc == OPENING) {
		why_set("sandbox: a child that plans the repair of code was killed for a system call: allow openat, fstat, mmap, close, "
			"prctl, prlimit64 and seccomp");
		return -EOPNOTSUPP;
	}
	if (WIFSIGNALED(status)) {
		why_set("code: planning its repair ended by signal %d: is a file of the program hostile, or being changed?",
			WTERMSIG(status));
		return -EOPNOTSUPP;
	}
	switch (shared->rc) {
	case 0:
		rc = copy_answer(plan, shared, bytes);
		if (rc != -EPROTO) {
			return rc;
		}
		why_set("code: what planned its repair answers nonsense: is a file of the program hostile?");
		return -EOPNOTSUPP;
	case -ENOMEM:
		return -ENOMEM;
	case -EACCES:
		why_set("sandbox: a child that plans the repair of code cannot be confined (seccomp): allow it");
		return -EOPNOTSUPP;
	default:
		why_set("code: planning its repair failed");
		return -EOPNOTSUPP;
	}
}

/*
 * Waits for the child. Where somebody may want it to end that is asked now and then. As wait4; -EINTR: it was over, and there is no
 * child any more.
 */
static long wait_for(const struct plan *plan, long pid, int *status)
{
	const struct timespec slice = {.tv_nsec = SLICE_NS}, short_slice = {.tv_nsec = SHORT_NS};
	long fd = plan->over != NULL ? sys2(SYS_pidfd_open, pid, 0) : -1, got;
	struct pollfd ended = {.fd = (int)fd, .events = POLLIN};
	bool over = false;

	while (plan->over != NULL && !over && (got = sys4(SYS_wait4, pid, status, __WALL | WNOHANG, NULL)) == 0) {
		over = plan->over(plan->over_ctx);
		if (!over && fd >= 0) {
			sys5(SYS_ppoll, &ended, 1, &slice, NULL, 0);
		} else if (!over) {
			sys2(SYS_nanosleep, &short_slice, NULL);
		}
	}
	if (over && fd >= 0) {
		sys4(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
	} else if (over) {
		sys2(SYS_kill, pid, SIGKILL);
	}
	if (over || plan->over == NULL) {
		do {
			got = sys4(SYS_wait4, pid, status, __WALL, NULL);
		} while (got == -EINTR);
	}
	if (fd >= 0) {
		sys1(SYS_close, fd);
	}
	return over ? -EINTR : got;
}

int plan_make(struct plan *plan)
{
	size_t bytes = answer_bytes(plan->hits->count);
	struct plan_answer *shared =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t all = ~UINT64_C(0), before;
	int status = 0, rc;
	long pid, got;

	if (shared == MAP_FAILED) {
		return -ENOMEM;
	}
	shared->rc = OPENING;
	/* No handler of the program may run in the child. */
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof(all));
	pid = sys5(SYS_clone, 0, 0, 0, 0, 0);
	if (pid == 0) {
		shared->rc = child(plan, shared);
		for (;;) {
			sys1(SYS_exit_group, 0);
		}
	}
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof(before));
	if (pid > 0) {
		got = wait_for(plan, pid, &status);
		if (got != pid && got != -EINTR) {
			why_set("process: how the child that plans the repair of code has ended cannot be told (error %ld): does another "
				"thread wait for all children?", -got);
		}
		rc = got == pid ? judge(plan, shared, bytes, status) : got == -EINTR ? -EINTR : -EOPNOTSUPP;
	} else {
		why_set("sandbox: no child can be made to plan the repair of code (error %ld)", -pid);
		rc = pid == -ENOMEM || pid == -EAGAIN ? -ENOMEM : -EOPNOTSUPP;
	}
	munmap(shared, bytes);
	return rc;
}
