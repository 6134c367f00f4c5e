/* SPDX-License-Identifier: Apache-2.0 */
/* Cannot be loaded: nothing has what it needs. */
int nobody_has_this(void);
int needy(void);

__attribute__((visibility("default"))) int needy(void)
{
	return nobody_has_this();
}
