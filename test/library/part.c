/* SPDX-License-Identifier: Apache-2.0 */
/* part.so, which worldly.so loads. */
int part_triple(int n);

static int factor;

static __attribute__((constructor)) void constructs(void)
{
	factor = 3;
}

int part_triple(int n)
{
	return factor * n;
}
