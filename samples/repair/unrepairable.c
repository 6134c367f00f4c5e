/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A library that cannot be repaired: it holds the instruction that changes the gs base, on purpose. Nothing that does
 * less could take its place, and whoever jumps there leads the gates astray.
 */
#define EXPORTED __attribute__((visibility("default")))

void unrepairable_set_gs(void *base);

EXPORTED void unrepairable_set_gs(void *base)
{
	__asm__ volatile("wrgsbase %0" : : "r"(base));
}
