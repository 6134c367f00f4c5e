/* SPDX-License-Identifier: Apache-2.0 */
/* The pure part of doctor's probes: registers and text in, facts out. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe.h"

void clean_text(char *dst, size_t size, const char *src, size_t len)
{
	size_t n = 0;

	while (len > 0 && (*src == ' ' || *src == '\n' || *src == '\t')) {
		src++;
		len--;
	}
	for (size_t i = 0; i < len && src[i] != '\0' && n + 1 < size; i++) {
		dst[n++] = src[i] >= ' ' && src[i] <= '~' ? src[i] : '?';
		if (src[i] == '\n' || src[i] == '\t') {
			dst[n - 1] = ' ';
		}
	}
	while (n > 0 && dst[n - 1] == ' ') {
		n--;
	}
	dst[n] = '\0';
}

/* ---- the CPU -------------------------------------------------------------------------------- */

static bool bit(uint64_t word, unsigned n)
{
	return (word >> n) & 1;
}

void cpu_decode(struct cpu *out, const struct cpuid_raw *raw)
{
	*out = (struct cpu){0};
	clean_text(out->vendor, sizeof(out->vendor), (const char *)raw->vendor,
		   sizeof(raw->vendor));
	clean_text(out->brand, sizeof(out->brand), (const char *)raw->brand, sizeof(raw->brand));

	out->under_hypervisor = bit(raw->leaf1_ecx, 31);
	if (out->under_hypervisor) {
		clean_text(out->hypervisor, sizeof(out->hypervisor), (const char *)raw->hypervisor,
			   sizeof(raw->hypervisor));
	}
	if (raw->max_leaf >= 7) {
		out->fsgsbase = bit(raw->leaf7_ebx, 0);
		out->sgx = bit(raw->leaf7_ebx, 2);
		out->pku = bit(raw->leaf7_ecx, 3);
		out->ospke = bit(raw->leaf7_ecx, 4);
		out->shstk = bit(raw->leaf7_ecx, 7);
		out->uintr = bit(raw->leaf7_edx, 5);
		out->amx = bit(raw->leaf7_edx, 24);
		out->apx = raw->leaf7_max_subleaf >= 1 && bit(raw->leaf7_1_edx, 21);
	}
	out->apx_on = out->apx && bit(raw->xcr0, 19);
	out->xsave_pkru = bit(raw->xcr0, 9);
	if (out->xsave_pkru && raw->max_leaf >= 0xd) {
		out->xsave_pkru_size = raw->xstate9_eax;
		out->xsave_pkru_offset = raw->xstate9_ebx;
	}
}

/* ---- the kernel ----------------------------------------------------------------------------- */

/* Reads digits at *s into *out and moves *s behind them. A number nobody gives a kernel fails. */
static bool take_number(const char **s, int *out)
{
	const char *p = *s;
	int n = 0;

	if (!isdigit((unsigned char)*p)) {
		return false;
	}
	for (; isdigit((unsigned char)*p); p++) {
		n = n * 10 + (*p - '0');
		if (n > 99999) {
			return false;
		}
	}
	*out = n;
	*s = p;
	return true;
}

/* "MAJOR.MINOR[.PATCH]" at s. Returns what follows, or NULL: no version. */
static const char *take_version(const char *s, int *major, int *minor, int *patch)
{
	*patch = 0;
	if (!take_number(&s, major) || *s++ != '.' || !take_number(&s, minor)) {
		return NULL;
	}
	if (*s == '.') {
		const char *p = s + 1;
		if (take_number(&p, patch)) {
			s = p;
		}
	}
	return s;
}

/* The true number of a distribution's kernel, where text names it: the last version in it that is
 * of the same branch and has a patch number, as in "#1 SMP Debian 5.10.218-1 (2024-06-01)". */
static bool find_true_patch(struct kernel_version *v, const char *text)
{
	bool found = false;

	if (text == NULL) {
		return false;
	}
	for (const char *p = text; *p != '\0'; p++) {
		int major, minor, patch;
		bool starts = isdigit((unsigned char)*p) && (p == text || p[-1] == ' ');
		if (starts && take_version(p, &major, &minor, &patch) != NULL &&
		    major == v->major && minor == v->minor && patch > 0) {
			v->patch = patch;
			found = true;
		}
	}
	return found;
}

struct kernel_version kernel_version_parse(const char *release, const char *version,
					   const char *signature)
{
	struct kernel_version v = {0};
	const char *rest = take_version(release, &v.major, &v.minor, &v.patch);

	if (rest == NULL) {
		return (struct kernel_version){0};
	}
	/* X.Y.0-N is how distributions number a package; "-rc1" or "-mine" they do not write. */
	bool package_number = v.patch == 0 && rest[0] == '-' && isdigit((unsigned char)rest[1]);
	v.patch_known =
		!package_number || find_true_patch(&v, version) || find_true_patch(&v, signature);
	return v;
}

enum tri kernel_at_least(const struct kernel_version *v, int major, int minor)
{
	if (v->major == 0) {
		return TRI_UNKNOWN;
	}
	bool yes = v->major > major || (v->major == major && v->minor >= minor);
	return yes ? TRI_YES : TRI_NO;
}

enum tri kernel_pku_sound(const struct kernel_version *v)
{
	enum tri new_enough = kernel_at_least(v, 5, 13);

	if (new_enough != TRI_NO) {
		return new_enough;
	}
	if (!v->patch_known) {
		return TRI_UNKNOWN;
	}
	bool fixed = v->major == 5 &&
		     ((v->minor == 4 && v->patch >= 182) || (v->minor == 10 && v->patch >= 103));
	return fixed ? TRI_YES : TRI_NO;
}

/* Whether the comma-separated list up to the next blank holds name. */
static bool list_holds(const char *list, const char *name)
{
	size_t n = strlen(name);

	while (*list != '\0' && !isspace((unsigned char)*list)) {
		size_t len = strcspn(list, ", \t\n");
		if (len == n && strncmp(list, name, n) == 0) {
			return true;
		}
		list += len + (list[len] == ',');
	}
	return false;
}

const char *cmdline_disables_pku(const char *cmdline)
{
	static const char clear[] = "clearcpuid=";

	for (const char *p = cmdline; *p != '\0';) {
		size_t len = strcspn(p, " \t\n");
		if (len == 2 && strncmp(p, "--", 2) == 0) {
			break; /* what follows is for init */
		}
		if (len == 5 && strncmp(p, "nopku", 5) == 0) {
			return "nopku";
		}
		if (strncmp(p, clear, sizeof(clear) - 1) == 0) {
			const char *list = p + sizeof(clear) - 1;
			/* by name, or by number: word 16, bits 3 and 4 (asm/cpufeatures.h) */
			if (list_holds(list, "pku") || list_holds(list, "515")) {
				return "clearcpuid=pku";
			}
			if (list_holds(list, "ospke") || list_holds(list, "516")) {
				return "clearcpuid=ospke";
			}
		}
		p += len;
		p += strspn(p, " \t\n");
	}
	return NULL;
}

/* "START-END PERMS", START and END in hex; perms must be "rwxp"-like. */
static bool take_mapping(const char *line, uint64_t *start, uint64_t *end, const char **perms)
{
	char *p;

	if (!isxdigit((unsigned char)line[0])) {
		return false;
	}
	*start = strtoull(line, &p, 16);
	if (*p != '-' || !isxdigit((unsigned char)p[1])) {
		return false;
	}
	*end = strtoull(p + 1, &p, 16);
	if (*p != ' ' || strlen(p) < 5 || strchr("r-", p[1]) == NULL ||
	    strchr("x-", p[3]) == NULL) {
		return false;
	}
	*perms = p + 1;
	return true;
}

void maps_line(struct maps_facts *out, const char *line)
{
	uint64_t start, end;
	const char *perms;

	if (!take_mapping(line, &start, &end, &perms)) {
		return;
	}
	if (out->readable != TRI_YES) {
		/* without a [vsyscall] line in the rest there is no such page */
		out->readable = TRI_YES;
		out->vsyscall = VSYSCALL_NONE;
	}
	if (strstr(perms, "[vsyscall]") != NULL) {
		out->vsyscall = perms[0] == 'r' ? VSYSCALL_EMULATE : VSYSCALL_XONLY;
	} else if (perms[0] == '-' && perms[2] == 'x') {
		out->exec_only++;
	}
}

void smaps_line(struct smaps_search *s, const char *line)
{
	static const char field[] = "ProtectionKey:";
	uint64_t start, end;
	const char *perms;

	if (take_mapping(line, &start, &end, &perms)) {
		s->inside = s->addr >= start && s->addr < end;
	} else if (s->inside && strncmp(line, field, sizeof(field) - 1) == 0) {
		s->key = atoi(line + sizeof(field) - 1);
	}
}

long status_number(const char *status, const char *field)
{
	size_t n = strlen(field);

	for (const char *p = status; *p != '\0';) {
		if (strncmp(p, field, n) == 0) {
			char *end;
			long value = strtol(p + n, &end, 10);
			return end == p + n ? NUMBER_UNKNOWN : value;
		}
		p += strcspn(p, "\n");
		p += *p == '\n';
	}
	return NUMBER_ABSENT;
}

/* ---- containers and sandboxes --------------------------------------------------------------- */

static bool contains(const char *text, const char *what)
{
	return text != NULL && strstr(text, what) != NULL;
}

/* The variable "container=" of init, as systemd, podman and LXC set it. */
static const char *by_environ(const char *environ1)
{
	static const struct {
		const char *value, *name;
	} known[] = {
		{"container=docker\n", "Docker"},
		{"container=podman\n", "Podman"},
		{"container=lxc\n", "LXC"},
		{"container=lxc-libvirt\n", "LXC"},
		{"container=systemd-nspawn\n", "systemd-nspawn"},
		{"container=oci\n", "an OCI container"},
		{"container=flatpak\n", "Flatpak"},
	};

	for (const char *p = environ1; p != NULL && *p != '\0';) {
		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
			if (strncmp(p, known[i].value, strlen(known[i].value)) == 0) {
				return known[i].name;
			}
		}
		p += strcspn(p, "\n");
		p += *p == '\n';
	}
	return NULL;
}

const char *container_name(const struct container_signs *s)
{
	/*
	 * A sandbox that is its own kernel comes first: it answers system calls whatever container
	 * manager started it. gVisor poses as one fixed version; WSL 1 is no Linux kernel.
	 */
	if (contains(s->version, "#1 SMP Sun Jan 10 15:06:54 PST 2016") ||
	    contains(s->version, "gVisor") || contains(s->release, "gvisor")) {
		return CONTAINER_GVISOR;
	}
	if (contains(s->release, "-Microsoft") && !contains(s->release, "WSL2")) {
		return CONTAINER_WSL1;
	}

	const char *name = by_environ(s->environ1);
	if (name != NULL) {
		return name;
	}
	if (s->containerenv != NULL) {
		return "Podman";
	}
	if (s->kubernetes || contains(s->cgroup, "kubepods")) {
		return "Kubernetes";
	}
	if (s->dockerenv || contains(s->cgroup, "/docker") || contains(s->cgroup, "docker-")) {
		return "Docker";
	}
	if (contains(s->cgroup, "libpod")) {
		return "Podman";
	}
	if (contains(s->cgroup, "/lxc") || contains(s->cgroup, "lxc.payload")) {
		return "LXC";
	}
	if (contains(s->release, "microsoft-standard") || contains(s->release, "WSL2")) {
		return "WSL 2";
	}
	return NULL;
}
