/* SPDX-License-Identifier: Apache-2.0 */
/* From facts to one check per line, in words for people who have never heard of PKRU. Pure. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "probe.h"

#define NO_PROC "unknown: /proc is not mounted or cannot be read"
#define PERSONALITY_READ_IMPLIES_EXEC 0x0400000

/* advice may be NULL: nothing to do. There is room for every check; a test counts them. */
static void say(struct report *out, const char *id, enum check_status status, const char *advice,
		const char *fmt, ...) LYCH_PRINTF(5, 6);

static void say(struct report *out, const char *id, enum check_status status, const char *advice,
		const char *fmt, ...)
{
	struct check *c;
	va_list args;

	if (out->nchecks == CHECKS_MAX) {
		return;
	}
	c = &out->checks[out->nchecks++];
	c->id = id;
	c->status = status;
	va_start(args, fmt);
	vsnprintf(c->fact, sizeof(c->fact), fmt, args);
	va_end(args);
	snprintf(c->advice, sizeof(c->advice), "%s", advice != NULL ? advice : "");
}

void outcome_text(char *dst, size_t size, const struct outcome *o)
{
	const char *name;

	switch (o->kind) {
	case OUTCOME_OK:
		snprintf(dst, size, "works");
		break;
	case OUTCOME_ERRNO:
		name = strerrorname_np(o->err);
		snprintf(dst, size, "refused with %s", name != NULL ? name : "an unknown error");
		break;
	case OUTCOME_WRONG:
		snprintf(dst, size, "accepted, but without effect");
		break;
	case OUTCOME_KILLED:
		name = sigabbrev_np(o->sig);
		snprintf(dst, size, "killed by SIG%s%s", name != NULL ? name : "?",
			 o->sig == SIGSYS ? ": a seccomp policy forbids it" : "");
		break;
	case OUTCOME_TIMEOUT:
		snprintf(dst, size, "no answer in time");
		break;
	case OUTCOME_UNKNOWN:
		snprintf(dst, size, "could not be tried");
		break;
	}
}

bool outcome_by_seccomp(const struct facts *f, const struct outcome *o)
{
	if (o->kind == OUTCOME_KILLED) {
		return o->sig == SIGSYS;
	}
	/* no call tried gives EPERM by itself; ENOSYS is what newer container profiles give */
	return o->kind == OUTCOME_ERRNO &&
	       (o->err == EPERM || (o->err == ENOSYS && f->seccomp_mode == 2));
}

bool sandbox_is_kernel(const struct facts *f)
{
	return f->container != NULL && (strcmp(f->container, CONTAINER_GVISOR) == 0 ||
					strcmp(f->container, CONTAINER_WSL1) == 0);
}

/* ---- the CPU -------------------------------------------------------------------------------- */

static const char *hypervisor_name(const char *signature)
{
	static const struct {
		const char *signature, *name;
	} known[] = {
		{"KVMKVMKVM", "KVM"},           {"TCGTCGTCGTCG", "QEMU, emulating the CPU"},
		{"Microsoft Hv", "Hyper-V"},    {"VMwareVMware", "VMware"},
		{"XenVMMXenVMM", "Xen"},        {"bhyve bhyve", "bhyve"},
		{"VBoxVBoxVBox", "VirtualBox"}, {"", "it does not say which"},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(signature, known[i].signature) == 0) {
			return known[i].name;
		}
	}
	return signature;
}

static void check_cpu_keys(struct report *out, const struct facts *f)
{
	const struct cpu *cpu = &f->cpu;
	char how[64];

	if (f->cpuid.kind != OUTCOME_OK) {
		outcome_text(how, sizeof(how), &f->cpuid);
		say(out, "cpu.model", CHECK_WARN,
		    "something traps the CPUID instruction (arch_prctl ARCH_SET_CPUID); the "
		    "self-test decides alone",
		    "unknown: CPUID %s", how);
		return;
	}
	say(out, "cpu.model", CHECK_INFO, NULL, "%s, %s",
	    cpu->vendor[0] != '\0' ? cpu->vendor : "unknown vendor",
	    cpu->brand[0] != '\0' ? cpu->brand : "unnamed model");
	if (cpu->under_hypervisor) {
		say(out, "cpu.hypervisor", CHECK_INFO, NULL, "a virtual machine (%s)",
		    hypervisor_name(cpu->hypervisor));
	} else {
		say(out, "cpu.hypervisor", CHECK_INFO, NULL, "none shows itself");
	}

	if (cpu->pku) {
		say(out, "cpu.pku", CHECK_OK, NULL, "the CPU has protection keys");
	} else {
		say(out, "cpu.pku", CHECK_NO,
		    cpu->under_hypervisor
			    ? "the hypervisor may hide them: give the virtual machine a CPU model "
			      "that has PKU (QEMU with KVM: -cpu host; emulated: -cpu max)"
			    : "use another machine: Intel's servers have them since 2017 (Xeon "
			      "Scalable), AMD's since Zen 3; or a virtual machine that emulates "
			      "them (QEMU: -accel tcg -cpu max)",
		    "the CPU%s has no protection keys (CPUID leaf 7, ECX bit 3 is 0)",
		    cpu->under_hypervisor ? " that this virtual machine sees" : "");
	}
	if (cpu->ospke) {
		say(out, "cpu.ospke", CHECK_OK, NULL, "the kernel has switched them on");
	} else if (!cpu->pku) {
		say(out, "cpu.ospke", CHECK_NO, NULL,
		    "off: there is nothing that the kernel could switch on");
	} else if (f->nopku != NULL) {
		say(out, "cpu.ospke", CHECK_NO,
		    "take it off the kernel's command line (boot loader) and boot again",
		    "the CPU has them, but \"%s\" on the kernel's command line switches them off",
		    f->nopku);
	} else {
		say(out, "cpu.ospke", CHECK_NO,
		    f->cmdline_readable == TRI_YES
			    ? "use a kernel built with CONFIG_X86_INTEL_MEMORY_PROTECTION_KEYS=y"
			    : "look for \"nopku\" on the kernel's command line, and for "
			      "CONFIG_X86_INTEL_MEMORY_PROTECTION_KEYS=y in its configuration",
		    "the CPU has them, but the kernel has not switched them on (CPUID leaf 7, ECX "
		    "bit 4 is 0)");
	}
	if (cpu->xsave_pkru) {
		say(out, "cpu.xsave_pkru", CHECK_INFO, NULL,
		    "XSAVE state component 9 (PKRU): %u bytes at offset %u", cpu->xsave_pkru_size,
		    cpu->xsave_pkru_offset);
	} else {
		say(out, "cpu.xsave_pkru", cpu->ospke ? CHECK_WARN : CHECK_INFO, NULL,
		    "PKRU is not among the XSAVE state in use");
	}
}

static void check_cpu_others(struct report *out, const struct facts *f)
{
	const struct cpu *cpu = &f->cpu;

	if (f->cpuid.kind == OUTCOME_OK) {
		say(out, "cpu.apx", CHECK_INFO, NULL, "%s",
		    cpu->apx_on ? "APX is on: WRPKRU has further encodings (REX2) that hold no 0F "
				  "byte; lychgate scan finds them always"
		    : cpu->apx
			    ? "the CPU has APX, the kernel has not switched it on: the REX2 forms "
			      "of WRPKRU do not run"
			    : "no APX: the REX2 forms of WRPKRU do not run here");
		say(out, "cpu.uintr", CHECK_INFO, NULL, "%s",
		    cpu->uintr ? "user interrupts: F3 0F 01 EF is STUI here"
			       : "no user interrupts");
		say(out, "cpu.amx", CHECK_INFO, NULL, "%s",
		    cpu->amx ? "AMX: gates have tile registers to clear, too" : "no AMX");
	}
	if (f->sgx_device == TRI_YES) {
		say(out, "cpu.sgx", CHECK_WARN,
		    "deny /dev/sgx_enclave to code that must stay in a domain, and scan it with "
		    "--policy domain",
		    "this user can start SGX enclaves, and leaving one opens every key");
	} else {
		say(out, "cpu.sgx", CHECK_OK, NULL, "this user cannot start SGX enclaves");
	}
	if (f->hwcap_fsgsbase == TRI_YES) {
		say(out, "cpu.fsgsbase", CHECK_OK, NULL,
		    "programs may set the fs and gs base themselves (FSGSBASE)");
	} else {
		say(out, "cpu.fsgsbase", CHECK_WARN,
		    "the runtime needs it: kernel 5.9 or later, without \"nofsgsbase\" on its "
		    "command line",
		    "%s",
		    f->hwcap_fsgsbase == TRI_NO
			    ? "programs may not set the fs and gs base themselves"
			    : "FSGSBASE: unknown, no auxiliary vector");
	}
	if (f->shstk.kind == OUTCOME_OK && (f->shstk.value & 1) != 0) {
		say(out, "cpu.shadow_stack", CHECK_WARN,
		    "gates switch stacks: run programs that use the runtime with "
		    "GLIBC_TUNABLES=glibc.cpu.x86_shstk=off",
		    "user shadow stacks are in use");
	} else {
		say(out, "cpu.shadow_stack", CHECK_OK, NULL, "user shadow stacks are not in use%s",
		    f->shstk.kind == OUTCOME_OK ? ", though this kernel has them" : "");
	}
}

/* ---- the kernel ----------------------------------------------------------------------------- */

static void check_version(struct report *out, const struct facts *f)
{
	enum tri sound = kernel_pku_sound(&f->kernel);

	if (sandbox_is_kernel(f)) {
		say(out, "kernel.version", CHECK_INFO, NULL, "%s, says the sandbox (%s)",
		    f->release, f->container);
	} else if (f->kernel.major == 0) {
		say(out, "kernel.version", CHECK_WARN, NULL, "unknown: \"%s\" is no version",
		    f->release);
	} else if (sound == TRI_YES) {
		say(out, "kernel.version", CHECK_OK, NULL,
		    "%s: threads keep their own rights (sound since 5.13)", f->release);
	} else if (sound == TRI_NO) {
		say(out, "kernel.version", CHECK_NO,
		    "use 5.13 or later (5.4.182 and 5.10.103 are mended, too)",
		    "%s: this kernel can run a thread with another's rights to keys", f->release);
	} else {
		say(out, "kernel.version", CHECK_WARN,
		    "before 5.13 a thread could run with another's rights to keys; ask your "
		    "distribution whether its kernel has the changes of 5.4.182 or 5.10.103, or use "
		    "a later one",
		    "%s: cannot tell whether its protection keys are sound", f->release);
	}
}

static void check_frames(struct report *out, const struct facts *f)
{
	static const char advice[] = "library domains need it: kernel 6.12 or later";
	enum tri by_version = kernel_at_least(&f->kernel, 6, 12);

	if (f->frames.kind == OUTCOME_OK) {
		say(out, "kernel.signal_frames", CHECK_OK, NULL,
		    "signal frames are written with full rights (tried)");
	} else if (f->frames.kind == OUTCOME_WRONG) {
		say(out, "kernel.signal_frames", CHECK_WARN, advice,
		    "signal frames are written with the interrupted code's rights only (tried)");
	} else if (by_version == TRI_YES) {
		say(out, "kernel.signal_frames", CHECK_OK, NULL,
		    "signal frames are written with full rights (by version, not tried)");
	} else {
		say(out, "kernel.signal_frames", CHECK_WARN, advice, "%s",
		    by_version == TRI_NO
			    ? "signal frames are written with the interrupted code's rights only "
			      "(by version, not tried)"
			    : "unknown with which rights signal frames are written");
	}
}

/* Experiments that have one good end. */
static const struct live_row {
	const char *id, *works, *otherwise, *advice;
	size_t outcome;
} live_rows[] = {
	{"kernel.sud", "Syscall User Dispatch works (tried)", "Syscall User Dispatch",
	 "the runtime needs it to answer a domain's system calls: kernel 5.11 or later",
	 offsetof(struct facts, sud)},
	{"kernel.seccomp_filter", "programs can install seccomp filters (tried)",
	 "a seccomp filter",
	 "the runtime needs one as a floor that threads and children inherit: "
	 "CONFIG_SECCOMP_FILTER=y",
	 offsetof(struct facts, seccomp_install)},
	{"kernel.mseal", "memory can be sealed with mseal (tried)", "mseal",
	 "kernel 6.10 or later lets the runtime nail down gates and sealed memory; without it only "
	 "the system call filter does",
	 offsetof(struct facts, mseal)},
	{"kernel.mdwe", "PR_SET_MDWE keeps memory from becoming executable (tried)", "PR_SET_MDWE",
	 "kernel 6.3 or later can refuse that writable memory becomes executable",
	 offsetof(struct facts, mdwe)},
	{"kernel.exec_memory", "private memory can be made executable (tried)",
	 "making private memory executable",
	 "code of a domain runs from a private, scanned copy: allow it (SELinux: execmem; systemd: "
	 "MemoryDenyWriteExecute=no)",
	 offsetof(struct facts, exec_memory)},
	{"kernel.memfd_exec", "code in a sealed memfd can be executed (tried)",
	 "executing code in a sealed memfd",
	 "repaired pages of the host come from a sealed memfd: see the sysctl vm.memfd_noexec, "
	 "SELinux and seccomp",
	 offsetof(struct facts, memfd_exec)},
};

static void check_live_rows(struct report *out, const struct facts *f)
{
	char how[64];

	for (size_t i = 0; i < sizeof(live_rows) / sizeof(live_rows[0]); i++) {
		const struct live_row *row = &live_rows[i];
		const struct outcome *o = (const void *)((const char *)f + row->outcome);
		if (o->kind == OUTCOME_OK) {
			say(out, row->id, CHECK_OK, NULL, "%s", row->works);
			continue;
		}
		outcome_text(how, sizeof(how), o);
		say(out, row->id, CHECK_WARN,
		    outcome_by_seccomp(f, o) && o->kind != OUTCOME_KILLED
			    ? "a seccomp policy seems to forbid it; the runtime wants it"
			    : row->advice,
		    "%s: %s", row->otherwise, how);
	}
}

/* Settings that are read, not tried. */
static void check_settings(struct report *out, const struct facts *f)
{
	if (f->landlock.kind == OUTCOME_OK) {
		say(out, "kernel.landlock", CHECK_OK, NULL, "Landlock, ABI version %ld",
		    f->landlock.value);
	} else {
		char how[64];
		outcome_text(how, sizeof(how), &f->landlock);
		say(out, "kernel.landlock", CHECK_INFO,
		    "kernel 5.13 or later with landlock among its LSMs (lsm=) can confine paths",
		    "no Landlock: %s", how);
	}
	if (f->mdwe_state.kind == OUTCOME_OK && f->mdwe_state.value != 0) {
		say(out, "kernel.mdwe_state", CHECK_WARN,
		    "systemd: MemoryDenyWriteExecute=no for programs that use the runtime",
		    "PR_SET_MDWE is on for this process already, so no memory becomes executable");
	}
	if (f->memfd_noexec == NUMBER_UNKNOWN) {
		say(out, "kernel.memfd_noexec", CHECK_INFO, NULL, "%s", NO_PROC);
	} else {
		say(out, "kernel.memfd_noexec", CHECK_INFO, NULL, "vm.memfd_noexec = %s",
		    f->memfd_noexec == 0   ? "0: as ever"
		    : f->memfd_noexec == 1 ? "1: a memfd is not for execve unless asked for"
		    : f->memfd_noexec == 2 ? "2: no memfd for execve"
					   : "(this kernel has no such setting)");
	}
	if (f->io_uring_disabled == NUMBER_UNKNOWN) {
		say(out, "kernel.io_uring", CHECK_INFO, NULL, "%s", NO_PROC);
	} else {
		say(out, "kernel.io_uring", CHECK_INFO, NULL,
		    "io_uring is %s; the runtime will deny it to domains",
		    f->io_uring_disabled == 2   ? "off for everybody"
		    : f->io_uring_disabled == 1 ? "for privileged users only"
						: "available if built in");
	}

	switch (f->maps.vsyscall) {
	case VSYSCALL_NONE:
		say(out, "kernel.vsyscall", CHECK_OK, NULL, "no vsyscall page");
		break;
	case VSYSCALL_XONLY:
		say(out, "kernel.vsyscall", CHECK_INFO, NULL,
		    "vsyscall page, execute-only: three old system calls that dispatch does not "
		    "see; a seccomp filter does");
		break;
	case VSYSCALL_EMULATE:
		say(out, "kernel.vsyscall", CHECK_WARN, "boot with vsyscall=xonly or vsyscall=none",
		    "vsyscall page, readable and executable (vsyscall=emulate)");
		break;
	case VSYSCALL_UNKNOWN:
		say(out, "kernel.vsyscall", CHECK_INFO, NULL, "%s", NO_PROC);
		break;
	}
	if (f->personality.kind == OUTCOME_OK &&
	    (f->personality.value & PERSONALITY_READ_IMPLIES_EXEC) != 0) {
		say(out, "kernel.personality", CHECK_WARN,
		    "start programs without `setarch -X`, link them without an executable stack",
		    "READ_IMPLIES_EXEC is on: everything readable is executable");
	} else {
		say(out, "kernel.personality", CHECK_OK, NULL, "%s",
		    f->personality.kind == OUTCOME_OK
			    ? "readable memory is not executable by itself"
			    : "unknown, could not be asked");
	}
	if (f->perf_event_paranoid == NUMBER_UNKNOWN) {
		say(out, "kernel.perf", CHECK_INFO, NULL, "%s", NO_PROC);
	} else if (f->perf_event_paranoid == NUMBER_ABSENT) {
		say(out, "kernel.perf", CHECK_INFO, NULL, "no performance events");
	} else {
		say(out, "kernel.perf", CHECK_INFO, NULL,
		    "perf_event_paranoid = %ld; the runtime will deny perf_event_open to domains",
		    f->perf_event_paranoid);
	}
	if (f->ptrace_scope == NUMBER_UNKNOWN) {
		say(out, "kernel.yama", CHECK_INFO, NULL, "%s", NO_PROC);
	} else {
		static const char *const scope[] = {"any process of the same user",
						    "descendants only, or as root", "as root only",
						    "no process"};
		bool known = f->ptrace_scope >= 0 && f->ptrace_scope <= 3;
		say(out, "kernel.yama", CHECK_INFO, NULL, "`lychgate scan --pid` can read: %s%s",
		    known ? scope[f->ptrace_scope] : scope[0],
		    known ? " (ptrace_scope)" : " (no Yama)");
	}
}

/* ---- containers, sandboxes, LSMs ------------------------------------------------------------ */

static void check_sandbox(struct report *out, const struct facts *f)
{
	if (sandbox_is_kernel(f)) {
		say(out, "sandbox.container", CHECK_NO,
		    "run on a real Linux kernel (gVisor: use another runtime such as runc; WSL 1: use "
		    "WSL 2)",
		    "%s: it answers system calls itself and has no protection keys", f->container);
	} else if (f->container != NULL) {
		say(out, "sandbox.container", CHECK_INFO, NULL, "looks like %s", f->container);
	} else {
		say(out, "sandbox.container", CHECK_OK, NULL, "no container seen");
	}

	if (outcome_by_seccomp(f, &f->keys)) {
		say(out, "sandbox.seccomp", CHECK_NO,
		    "allow pkey_alloc, pkey_free and pkey_mprotect in the seccomp profile (Docker's "
		    "did not until 2022: newer Docker, or --security-opt seccomp=PROFILE)",
		    "a seccomp filter forbids protection keys");
	} else if (f->seccomp_mode == NUMBER_UNKNOWN || f->seccomp_mode == NUMBER_ABSENT) {
		say(out, "sandbox.seccomp", CHECK_INFO, NULL, "%s",
		    f->proc_mounted ? "this kernel has no seccomp" : NO_PROC);
	} else if (f->seccomp_mode == 0) {
		say(out, "sandbox.seccomp", CHECK_OK, NULL, "no seccomp filter is in force");
	} else if (f->seccomp_filters > 0) {
		say(out, "sandbox.seccomp", CHECK_INFO, NULL,
		    "%ld seccomp filter(s) in force, which let protection keys pass",
		    f->seccomp_filters);
	} else {
		say(out, "sandbox.seccomp", CHECK_INFO, NULL,
		    "a seccomp filter is in force, which lets protection keys pass");
	}
	say(out, "sandbox.no_new_privs", CHECK_INFO, NULL, "%s",
	    f->no_new_privs == 1   ? "on: set-user-ID programs gain nothing here"
	    : f->no_new_privs == 0 ? "off"
				   : NO_PROC);
	if (f->selinux_enforce == NUMBER_UNKNOWN || f->selinux_enforce == NUMBER_ABSENT) {
		say(out, "sandbox.selinux", CHECK_INFO, NULL, "SELinux is not in use");
	} else {
		say(out, "sandbox.selinux", CHECK_INFO, NULL,
		    "SELinux is %s; kernel.exec_memory says whether it lets private memory become "
		    "executable",
		    f->selinux_enforce != 0 ? "enforcing" : "permissive");
	}
	say(out, "sandbox.lsm_label", CHECK_INFO, NULL, "%s%s",
	    f->lsm_label[0] != '\0' ? "security label of this process: " : "no security label",
	    f->lsm_label);
}

/* ---- keys ----------------------------------------------------------------------------------- */

static void check_keys(struct report *out, const struct facts *f)
{
	char how[64];

	outcome_text(how, sizeof(how), &f->keys);
	if (f->keys.kind == OUTCOME_OK) {
		bool enough = f->keys.value >= 3;
		say(out, "keys.alloc", CHECK_OK, NULL, "pkey_alloc gives keys (tried)");
		say(out, "keys.free", enough ? CHECK_OK : CHECK_WARN,
		    enough ? NULL : "find out what else in the process uses keys (V8, wasmtime)",
		    "%ld of 15 are free; the runtime needs two, and one for each domain",
		    f->keys.value);
	} else {
		bool no_pku = f->cpuid.kind == OUTCOME_OK && !f->cpu.ospke;
		bool usual = no_pku && f->keys.kind == OUTCOME_ERRNO &&
			     (f->keys.err == EINVAL || f->keys.err == ENOSPC);
		say(out, "keys.alloc", CHECK_NO,
		    outcome_by_seccomp(f, &f->keys)
			    ? "see sandbox.seccomp: a kernel that has the call never answers so"
		    : usual ? "as always without PKU (EINVAL, then ENOSPC, though no key was ever "
			      "taken): errno misleads, CPUID and the self-test decide"
			    : NULL,
		    "pkey_alloc: %s", how);
		say(out, "keys.free", CHECK_NO, NULL, "none");
	}
	if (f->maps.readable != TRI_YES) {
		say(out, "keys.exec_only", CHECK_INFO, NULL, "%s", NO_PROC);
	} else if (f->maps.exec_only == 0) {
		say(out, "keys.exec_only", CHECK_OK, NULL,
		    "no execute-only mapping in this process; the first takes one key");
	} else {
		say(out, "keys.exec_only", CHECK_INFO, NULL,
		    "%u execute-only mapping(s) in this process: together they take one key",
		    f->maps.exec_only);
	}
}

/* ---- glibc and the process ------------------------------------------------------------------ */

static void check_process(struct report *out, const struct facts *f)
{
	if (f->libc_version[0] != '\0') {
		say(out, "libc.version", CHECK_INFO, NULL, "glibc %s", f->libc_version);
	} else {
		say(out, "libc.version", CHECK_WARN, "the runtime is for glibc", "not glibc");
	}
	if (f->rseq == TRI_YES) {
		say(out, "libc.rseq", CHECK_INFO,
		    "the runtime takes it off threads that enter library domains; "
		    "GLIBC_TUNABLES=glibc.pthread.rseq=0 does so for a whole program",
		    "glibc has registered restartable sequences (rseq)");
	} else {
		say(out, "libc.rseq", CHECK_OK, NULL, "%s",
		    f->rseq == TRI_NO ? "restartable sequences (rseq) are not registered"
				      : "unknown whether restartable sequences are registered");
	}
	if (f->minsigstksz > 0) {
		say(out, "libc.sigstack", CHECK_INFO, NULL,
		    "a signal frame takes up to %ld bytes of stack", f->minsigstksz);
	} else {
		say(out, "libc.sigstack", CHECK_INFO, NULL,
		    "size of a signal frame unknown: the kernel does not say (before 5.14)");
	}
	if (f->gs.kind == OUTCOME_OK && f->gs.value == 0) {
		say(out, "process.gs", CHECK_OK, NULL, "the gs base is free");
	} else if (f->gs.kind == OUTCOME_OK) {
		say(out, "process.gs", CHECK_WARN,
		    "the runtime needs it: find out which preloaded library sets it",
		    "the gs base is in use in this very process: %#lx", (unsigned long)f->gs.value);
	} else {
		char how[64];
		outcome_text(how, sizeof(how), &f->gs);
		say(out, "process.gs", CHECK_INFO, NULL, "unknown: arch_prctl(ARCH_GET_GS) %s",
		    how);
	}
	if (f->preload_env || f->preload_file) {
		say(out, "process.preload", CHECK_INFO,
		    "preloaded code runs in every program: scan it (lychgate scan FILE)",
		    "%s names libraries to preload",
		    f->preload_env ? "LD_PRELOAD" : "/etc/ld.so.preload");
	} else {
		say(out, "process.preload", CHECK_OK, NULL, "nothing is preloaded");
	}
}

void judge_checks(struct report *out, const struct facts *f)
{
	char how[240];

	out->nchecks = 0;
	check_cpu_keys(out, f);
	check_cpu_others(out, f);
	check_version(out, f);
	check_live_rows(out, f);
	check_frames(out, f);
	check_settings(out, f);
	check_sandbox(out, f);
	check_keys(out, f);
	check_process(out, f);

	selftest_text(how, sizeof(how), &f->selftest);
	say(out, "selftest", selftest_passed(&f->selftest) ? CHECK_OK : CHECK_NO, NULL, "%s", how);
}
