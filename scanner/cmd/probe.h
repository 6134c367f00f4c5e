/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `lychgate doctor` finds out, in three steps that know of each other only through the
 * structs below:
 *
 *	probe_system.c, probe_live.c  ask the machine:  -> struct facts
 *	probe_parse.c                 understand text and registers (pure)
 *	probe_checks.c, probe_verdict.c  judge: struct facts -> struct report (pure)
 *
 * A fact that could not be found out is "unknown" and never an error: doctor has to work without
 * privileges, in sandboxes, and with /proc not mounted.
 */
#ifndef LYCHGATE_PROBE_H
#define LYCHGATE_PROBE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lychgate/base.h>

LYCH_BEGIN_DECLS

enum tri { TRI_UNKNOWN, TRI_NO, TRI_YES };

/* A number from a file such as a sysctl. */
#define NUMBER_UNKNOWN LONG_MIN      /* the file could not be read, and may well exist */
#define NUMBER_ABSENT (LONG_MIN + 1) /* there is no such file: this kernel has no such thing */

/* ---- the CPU -------------------------------------------------------------------------------- */

/* Registers as CPUID and XGETBV gave them; zero beyond max_leaf. */
struct cpuid_raw {
	uint32_t max_leaf;
	uint32_t vendor[3];     /* leaf 0: EBX, EDX, ECX: the order that spells the name */
	uint32_t leaf1_ecx;
	uint32_t leaf7_ebx, leaf7_ecx, leaf7_edx, leaf7_max_subleaf;
	uint32_t leaf7_1_edx;
	uint32_t xstate9_eax, xstate9_ebx; /* leaf 0xD, subleaf 9 */
	uint32_t hypervisor[3]; /* leaf 0x40000000: EBX, ECX, EDX */
	uint32_t brand[12];     /* leaves 0x80000002 to 4 */
	uint64_t xcr0;          /* 0 when OSXSAVE is off */
};

struct cpu {
	char vendor[16], brand[52], hypervisor[16]; /* printable; "" when the CPU does not say */
	bool under_hypervisor;
	bool pku, ospke;
	bool xsave_pkru; /* XCR0[9] */
	uint32_t xsave_pkru_size, xsave_pkru_offset;
	bool apx, apx_on; /* APX_F; XCR0[19] */
	bool uintr, sgx, shstk, amx, fsgsbase;
};

/* cpu_decode names the bits (Intel SDM Vol. 2, CPUID; APX specification for 7.1 EDX[21]). */
void cpu_decode(struct cpu *out, const struct cpuid_raw *raw);

/* ---- the kernel ----------------------------------------------------------------------------- */

struct kernel_version {
	int major, minor, patch; /* major 0: the text is no version */
	/*
	 * Distributions call their kernel 5.10.0-30 whatever fixes it has; then patch says nothing,
	 * unless the true number is found elsewhere.
	 */
	bool patch_known;
};

/*
 * kernel_version_parse reads uname's release; version (uname's, where Debian puts its true number)
 * and signature (/proc/version_signature, where Ubuntu does) may be NULL.
 */
struct kernel_version kernel_version_parse(const char *release, const char *version,
					   const char *signature);

/* TRI_UNKNOWN when the version was not understood. */
enum tri kernel_at_least(const struct kernel_version *v, int major, int minor);

/*
 * Kernels before 5.13 can run a thread with another's PKRU, but for 5.4.182, 5.10.103 and later of
 * these two branches. TRI_YES: fixed. TRI_UNKNOWN: an older one of a distribution, which may have
 * been given the fix.
 */
enum tri kernel_pku_sound(const struct kernel_version *v);

/* What on the kernel's command line switches protection keys off: "nopku" and the like, or NULL. */
const char *cmdline_disables_pku(const char *cmdline);

/* One line of /proc/self/maps. */
enum vsyscall { VSYSCALL_UNKNOWN, VSYSCALL_NONE, VSYSCALL_XONLY, VSYSCALL_EMULATE };
struct maps_facts {
	enum tri readable; /* whether there were lines at all */
	enum vsyscall vsyscall;
	unsigned exec_only; /* mappings that can be executed and not read, but for vsyscall */
};
void maps_line(struct maps_facts *out, const char *line);

/* /proc/self/smaps, line by line, for the mapping that holds addr. */
#define SMAPS_UNREADABLE (-1)
#define SMAPS_SHOWS_NONE (-2)
struct smaps_search {
	uint64_t addr;
	bool inside;
	int key; /* SMAPS_SHOWS_NONE until found */
};
void smaps_line(struct smaps_search *s, const char *line);

/* The number behind a field of /proc/self/status such as "Seccomp:"; NUMBER_ABSENT without it. */
long status_number(const char *status, const char *field);

/* ---- containers and sandboxes --------------------------------------------------------------- */

/* What there is to see; every pointer may be NULL. */
struct container_signs {
	bool dockerenv;         /* /.dockerenv exists */
	const char *containerenv; /* content of /run/.containerenv; "" when unreadable */
	const char *cgroup;     /* /proc/1/cgroup */
	const char *environ1;   /* /proc/1/environ, NULs replaced by newlines */
	const char *release, *version; /* uname */
	bool kubernetes;        /* KUBERNETES_SERVICE_HOST is set */
};

/* Name of the container manager or sandbox, or NULL: none seen. Static. */
const char *container_name(const struct container_signs *signs);

#define CONTAINER_GVISOR "gVisor"
#define CONTAINER_WSL1 "WSL 1"

/* Copies text for a report: printable ASCII, others become '?', blanks at both ends cut off. */
void clean_text(char *dst, size_t size, const char *src, size_t len);

/* ---- live probes ---------------------------------------------------------------------------- */

/* What became of an experiment in a forked child. */
enum outcome_kind {
	OUTCOME_UNKNOWN, /* not tried, or the child could not be made */
	OUTCOME_OK,      /* it worked; value is the probe's */
	OUTCOME_ERRNO,   /* a system call refused: err */
	OUTCOME_WRONG,   /* calls succeeded, their effect did not come */
	OUTCOME_KILLED,  /* the child died by signal sig */
	OUTCOME_TIMEOUT, /* the child did not end in time */
};

struct outcome {
	enum outcome_kind kind;
	int err, sig;
	int step; /* how far a probe of several steps got; its own numbering */
	long value;
};

/* Steps of the self-test, in order: the one that failed is the one in outcome.step. */
enum selftest_step {
	SELFTEST_MAP,
	SELFTEST_ALLOC,
	SELFTEST_TAG,
	SELFTEST_SMAPS,
	SELFTEST_READ,
	SELFTEST_WRITE,
	SELFTEST_RETAG,
	SELFTEST_DONE,
};

struct selftest {
	struct outcome end;
	int key;       /* that pkey_alloc gave */
	int smaps_key; /* that smaps shows, or one of the two below */
	bool faulted;  /* a SIGSEGV came, and: */
	int fault_code, fault_key;
	bool fault_addr_right;
};

/* Steps of the frame probe. */
enum frame_step { FRAME_SETUP, FRAME_CONTROL, FRAME_KEYED };

/* ---- everything together -------------------------------------------------------------------- */

struct facts {
	bool proc_mounted;

	struct outcome cpuid; /* CPUID can be made to fault (ARCH_SET_CPUID) */
	struct cpu cpu;
	enum tri sgx_device;   /* /dev/sgx_enclave can be opened by us */
	struct outcome shstk;  /* value: features that are on (ARCH_SHSTK_STATUS) */
	enum tri hwcap_fsgsbase; /* AT_HWCAP2 bit 1: the kernel lets user space use it */

	char release[66], version[66];
	struct kernel_version kernel;
	const char *nopku; /* cmdline_disables_pku */
	enum tri cmdline_readable;
	struct outcome sud;
	struct outcome frames; /* OK: written with full rights; WRONG: not */
	struct outcome mseal;
	struct outcome mdwe, mdwe_state; /* can be set; value: already set */
	struct outcome memfd_exec;
	struct outcome landlock;  /* value: ABI version */
	struct outcome exec_memory; /* RW -> RX of anonymous memory */
	struct outcome personality; /* value */
	long memfd_noexec, io_uring_disabled, perf_event_paranoid, ptrace_scope;
	struct maps_facts maps;

	const char *container; /* NULL: none seen */
	long seccomp_mode, seccomp_filters, no_new_privs;
	struct outcome seccomp_install;
	long selinux_enforce;
	char lsm_label[128]; /* "" when there is none */

	struct outcome keys; /* value: how many could be allocated; err: what ended it */
	struct selftest selftest;

	char libc_version[32]; /* "" when it is not glibc */
	enum tri rseq;
	long minsigstksz; /* 0: unknown */
	struct outcome gs; /* value: base */
	bool preload_env, preload_file;
};

/* facts_collect asks the machine. Forks children and waits for them; changes nothing else. */
void facts_collect(struct facts *out);

/* Its parts in probe_live.c: each forks one child. */
void live_cpuid(struct outcome *end, struct cpuid_raw *raw);
void live_selftest(struct selftest *out);
struct outcome live_keys(void);
struct outcome live_frames(void);
struct outcome live_sud(void);
struct outcome live_mseal(void);
struct outcome live_mdwe(void);
struct outcome live_mdwe_state(void);
struct outcome live_memfd_exec(void);
struct outcome live_landlock(void);
struct outcome live_exec_memory(void);
struct outcome live_personality(void);
struct outcome live_seccomp_install(void);
struct outcome live_shstk(void);
struct outcome live_gs(void);

/* ---- the report ----------------------------------------------------------------------------- */

enum check_status { CHECK_OK, CHECK_NO, CHECK_WARN, CHECK_INFO };

struct check {
	const char *id; /* static; stable from release to release */
	enum check_status status;
	char fact[240];
	char advice[360]; /* "" when there is nothing to do */
};

#define CHECKS_MAX 48
#define REFUSALS_MAX 8

/* A layer that refuses protection keys. */
struct refusal {
	const char *layer; /* "cpu", "kernel", "seccomp", "sandbox", "keys", "self-test" */
	char reason[240];
	char advice[360];
};

/* Something the runtime could offer; missing is "" when everything it needs is here. */
struct offer {
	const char *id, *name, *needs;
	char missing[240];
};

struct report {
	struct check checks[CHECKS_MAX];
	size_t nchecks;

	bool keys_work;
	struct refusal refusals[REFUSALS_MAX]; /* every layer that refuses; the first decides */
	size_t nrefusals;

	struct offer offers[3];
	size_t noffers;
};

void judge_checks(struct report *out, const struct facts *f);
void judge_verdict(struct report *out, const struct facts *f);

/* Says in words how an experiment ended, e.g. "refused with EPERM" or "killed by SIGSYS". */
void outcome_text(char *dst, size_t size, const struct outcome *o);

/* Whether a sandbox that is its own kernel answers system calls: its version is made up. */
bool sandbox_is_kernel(const struct facts *f);

/* Whether the end of an experiment bears the mark of a seccomp filter rather than of a kernel. */
bool outcome_by_seccomp(const struct facts *f, const struct outcome *o);

/* Why the self-test did not pass, e.g. "the fault came as SEGV_MAPERR (1), not as SEGV_PKUERR". */
void selftest_text(char *dst, size_t size, const struct selftest *t);
bool selftest_passed(const struct selftest *t);

LYCH_END_DECLS

#endif /* LYCHGATE_PROBE_H */
