/* SPDX-License-Identifier: Apache-2.0 */
#include "hostile.h"

const struct attack attacks[] = {
#define ATTACK(group, name, guarantee, end, control, policy, tries) \
	{#group, #name, guarantee, tries, "attack_" #name, END_##end, CONTROL_##control, POLICY_##policy},
#include "attacks.inc"
#undef ATTACK
	{0},
};
