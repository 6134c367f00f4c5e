/* SPDX-License-Identifier: Apache-2.0 */
#include "hostile.h"

#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>

const struct attack attacks[] = {
#define ATTACK(group, name, guarantee, end, control, policy, tries) \
	{#group, #name, guarantee, tries, "attack_" #name, END_##end, CONTROL_##control, POLICY_##policy, NULL},
#define ATTACK_IF(group, name, guarantee, end, control, policy, tries, lacks) \
	{#group, #name, guarantee, tries, "attack_" #name, END_##end, CONTROL_##control, POLICY_##policy, lacks},
#include "attacks.inc"
#undef ATTACK
#undef ATTACK_IF
	{0},
};

const struct not_stopped not_stopped[] = {
#define NOT_STOPPED(name, tries, why) {#name, tries, why},
#include "not_stopped.inc"
#undef NOT_STOPPED
	{0},
};

bool attack_had_effect(const struct attack *a, int status)
{
	switch (a->control) {
	case CONTROL_EXITS:
		return WIFEXITED(status) && WEXITSTATUS(status) == BARE_EXITS;
	case CONTROL_KILLED:
		return WIFSIGNALED(status);
	default:
		return WIFEXITED(status) && WEXITSTATUS(status) == BARE_DONE;
	}
}

bool attack_may_lack(const struct attack *a, int status)
{
	if (a->lacks == NULL) {
		return false;
	}
	return (WIFEXITED(status) && WEXITSTATUS(status) == BARE_NOTHING) ||
	       (WIFSIGNALED(status) && (WTERMSIG(status) == SIGILL || WTERMSIG(status) == SIGSEGV));
}
