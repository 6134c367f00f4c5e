/* SPDX-License-Identifier: Apache-2.0 */
__attribute__((visibility("default"))) int needed(void);
int needed(void)
{
	return 5;
}
