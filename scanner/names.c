/* SPDX-License-Identifier: Apache-2.0 */
/* Names of classes, placements, parts and verdicts, and policies. */
#include <string.h>

#include <lychgate/scan.h>

static const char *const class_names[LYCH_CLASS_COUNT] = {
	[LYCH_WRPKRU] = "wrpkru",     [LYCH_WRPKRU_REX2] = "wrpkru-rex2",
	[LYCH_XRSTOR] = "xrstor",     [LYCH_ENCLU] = "enclu",
	[LYCH_WRFSBASE] = "wrfsbase", [LYCH_WRGSBASE] = "wrgsbase",
	[LYCH_SYSCALL] = "syscall",   [LYCH_SYSENTER] = "sysenter",
	[LYCH_INT80] = "int80",
};

static const char *const placement_names[LYCH_PLACE_COUNT] = {
	[LYCH_PLACE_INSTRUCTION] = "instruction", [LYCH_PLACE_INSIDE] = "inside",
	[LYCH_PLACE_SPANNING] = "spanning",       [LYCH_PLACE_DATA] = "data",
	[LYCH_PLACE_UNDECIDED] = "undecided",
};

static const char *const part_names[LYCH_PART_COUNT] = {
	[LYCH_PART_NONE] = "none",           [LYCH_PART_PREFIX] = "prefix",
	[LYCH_PART_OPCODE] = "opcode",       [LYCH_PART_MODRM] = "modrm",
	[LYCH_PART_DISP] = "displacement",   [LYCH_PART_RIPREL] = "rip-relative",
	[LYCH_PART_IMM] = "immediate",       [LYCH_PART_REL] = "relative-branch",
};

static const char *const verdict_names[LYCH_VERDICT_COUNT] = {
	[LYCH_VERDICT_STRAY] = "stray",
	[LYCH_VERDICT_RUNTIME] = "runtime-handled",
	[LYCH_VERDICT_CHECKED] = "checked",
	[LYCH_VERDICT_GATE] = "gate",
};

static const struct {
	const char *name;
	uint32_t classes;
} policies[] = {
	{"pkru", LYCH_POLICY_PKRU},
	{"host", LYCH_POLICY_HOST},
	{"domain", LYCH_POLICY_DOMAIN},
	{"all", LYCH_ALL_CLASSES},
};

#define NAME_OF(table, index) ((size_t)(index) < sizeof(table) / sizeof((table)[0]) ? (table)[index] : NULL)

const char *lych_class_name(enum lych_class cls)
{
	return NAME_OF(class_names, cls);
}

const char *lych_placement_name(enum lych_placement placement)
{
	return NAME_OF(placement_names, placement);
}

const char *lych_part_name(enum lych_part part)
{
	return NAME_OF(part_names, part);
}

const char *lych_verdict_name(enum lych_verdict verdict)
{
	return NAME_OF(verdict_names, verdict);
}

static uint32_t classes_named(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
		if (strlen(policies[i].name) == len && memcmp(policies[i].name, name, len) == 0) {
			return policies[i].classes;
		}
	}
	for (size_t i = 0; i < LYCH_CLASS_COUNT; i++) {
		if (strlen(class_names[i]) == len && memcmp(class_names[i], name, len) == 0) {
			return LYCH_CLASS_BIT(i);
		}
	}
	return 0;
}

int lych_classes_parse(uint32_t *out, const char *list)
{
	uint32_t all = 0;

	for (;;) {
		size_t len = strcspn(list, ",");
		uint32_t classes = classes_named(list, len);

		if (classes == 0) {
			return -EINVAL;
		}
		all |= classes;
		if (list[len] == '\0') {
			*out = all;
			return 0;
		}
		list += len + 1;
	}
}
