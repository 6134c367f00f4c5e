/* SPDX-License-Identifier: Apache-2.0 */
int needed(void);
__attribute__((visibility("default"))) int needs(void);
int needs(void)
{
	return needed() + 1;
}
