/* SPDX-License-Identifier: Apache-2.0 */
/* What can be read without changing anything: files, the auxiliary vector, glibc. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/utsname.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

#include "probe.h"

#define AUX_MINSIGSTKSZ 51
#define HWCAP2_FSGSBASE_BIT 2UL

/* From glibc 2.35 on; weak, so that the command starts with an older one. */
extern const unsigned int __rseq_size __attribute__((weak));

/*
 * Reads at most size-1 bytes of a file into buf and ends them with NUL. NULs in the file become
 * newlines. Returns 0 or -errno; then buf is "".
 */
static int read_text(const char *path, char *buf, size_t size)
{
	size_t len = 0;
	int err = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	buf[0] = '\0';
	if (fd < 0) {
		return -errno;
	}
	while (len < size - 1) {
		ssize_t n = read(fd, buf + len, size - 1 - len);
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0) {
			err = -errno;
			len = 0;
		}
		if (n <= 0) {
			break;
		}
		len += (size_t)n;
	}
	close(fd);
	for (size_t i = 0; i < len; i++) {
		if (buf[i] == '\0') {
			buf[i] = '\n';
		}
	}
	buf[len] = '\0';
	return err;
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

/* The number in a file. Its absence means something only where its directory is there. */
static long read_number(const char *path, const char *directory)
{
	char buf[32], *end;
	int err = read_text(path, buf, sizeof(buf));

	if (err == -ENOENT && exists(directory)) {
		return NUMBER_ABSENT;
	}
	long value = strtol(buf, &end, 10);
	return err != 0 || end == buf ? NUMBER_UNKNOWN : value;
}

static void collect_cpu(struct facts *f)
{
	struct cpuid_raw raw;
	unsigned long hwcap2;

	live_cpuid(&f->cpuid, &raw);
	cpu_decode(&f->cpu, &raw);

	errno = 0;
	hwcap2 = getauxval(AT_HWCAP2);
	if (errno == 0) {
		f->hwcap_fsgsbase = hwcap2 & HWCAP2_FSGSBASE_BIT ? TRI_YES : TRI_NO;
	}
	f->minsigstksz = (long)getauxval(AUX_MINSIGSTKSZ);
	f->sgx_device = access("/dev/sgx_enclave", R_OK | W_OK) == 0 ? TRI_YES : TRI_NO;
}

static void collect_kernel(struct facts *f, const struct utsname *uts)
{
	char signature[160], cmdline[4096];
	bool has_signature =
		read_text("/proc/version_signature", signature, sizeof(signature)) == 0;

	clean_text(f->release, sizeof(f->release), uts->release, sizeof(uts->release));
	clean_text(f->version, sizeof(f->version), uts->version, sizeof(uts->version));
	f->kernel = kernel_version_parse(f->release, f->version, has_signature ? signature : NULL);

	f->cmdline_readable = TRI_NO;
	if (read_text("/proc/cmdline", cmdline, sizeof(cmdline)) == 0) {
		f->cmdline_readable = TRI_YES;
		f->nopku = cmdline_disables_pku(cmdline);
	}
	f->memfd_noexec = read_number("/proc/sys/vm/memfd_noexec", "/proc/sys/vm");
	f->io_uring_disabled =
		read_number("/proc/sys/kernel/io_uring_disabled", "/proc/sys/kernel");
	f->perf_event_paranoid =
		read_number("/proc/sys/kernel/perf_event_paranoid", "/proc/sys/kernel");
	f->ptrace_scope = read_number("/proc/sys/kernel/yama/ptrace_scope", "/proc/sys/kernel");
	f->selinux_enforce = read_number("/sys/fs/selinux/enforce", "/sys/fs");
}

static void collect_maps(struct facts *f)
{
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "re");

	f->maps.readable = TRI_NO;
	if (maps == NULL) {
		return;
	}
	while (fgets(line, sizeof(line), maps) != NULL) {
		maps_line(&f->maps, line);
	}
	fclose(maps);
}

static void collect_sandbox(struct facts *f, const struct utsname *uts)
{
	char status[8192], cgroup[4096], environ1[8192], containerenv[64], label[256];
	struct container_signs signs = {
		.dockerenv = exists("/.dockerenv"),
		.release = uts->release,
		.version = uts->version,
		.kubernetes = getenv("KUBERNETES_SERVICE_HOST") != NULL,
	};

	f->proc_mounted = read_text("/proc/self/status", status, sizeof(status)) == 0;
	if (f->proc_mounted) {
		f->seccomp_mode = status_number(status, "Seccomp:");
		f->seccomp_filters = status_number(status, "Seccomp_filters:");
		f->no_new_privs = status_number(status, "NoNewPrivs:");
	} else {
		f->seccomp_mode = f->seccomp_filters = f->no_new_privs = NUMBER_UNKNOWN;
	}

	if (read_text("/proc/1/cgroup", cgroup, sizeof(cgroup)) == 0) {
		signs.cgroup = cgroup;
	}
	if (read_text("/proc/1/environ", environ1, sizeof(environ1)) == 0) {
		signs.environ1 = environ1;
	}
	if (exists("/run/.containerenv")) {
		read_text("/run/.containerenv", containerenv, sizeof(containerenv));
		signs.containerenv = containerenv;
	}
	f->container = container_name(&signs);

	if (read_text("/proc/self/attr/apparmor/current", label, sizeof(label)) != 0) {
		read_text("/proc/self/attr/current", label, sizeof(label));
	}
	clean_text(f->lsm_label, sizeof(f->lsm_label), label, strlen(label));
}

static void collect_libc(struct facts *f)
{
	char preload[8];

#ifdef __GLIBC__
	const char *version = gnu_get_libc_version();
	clean_text(f->libc_version, sizeof(f->libc_version), version, strlen(version));
#endif
	if (&__rseq_size != NULL) {
		f->rseq = __rseq_size != 0 ? TRI_YES : TRI_NO;
	} else if (f->libc_version[0] != '\0') {
		f->rseq = TRI_NO; /* glibc before 2.35 does not register it */
	}
	const char *env = getenv("LD_PRELOAD");
	f->preload_env = env != NULL && env[0] != '\0';
	f->preload_file = read_text("/etc/ld.so.preload", preload, sizeof(preload)) == 0 &&
			  preload[0] != '\0';
}

static void collect_live(struct facts *f)
{
	f->keys = live_keys();
	live_selftest(&f->selftest);
	f->frames = live_frames();
	f->sud = live_sud();
	f->mseal = live_mseal();
	f->mdwe = live_mdwe();
	f->mdwe_state = live_mdwe_state();
	f->memfd_exec = live_memfd_exec();
	f->exec_memory = live_exec_memory();
	f->landlock = live_landlock();
	f->personality = live_personality();
	f->seccomp_install = live_seccomp_install();
	f->shstk = live_shstk();
	f->gs = live_gs();
}

void facts_collect(struct facts *out)
{
	struct utsname uts;

	*out = (struct facts){0};
	if (uname(&uts) != 0) {
		memset(&uts, 0, sizeof(uts));
	}
	collect_cpu(out);
	collect_kernel(out, &uts);
	collect_maps(out);
	collect_sandbox(out, &uts);
	collect_libc(out);
	collect_live(out);
}
