/* SPDX-License-Identifier: Apache-2.0 */
/* Cannot be loaded before loader_library: it does not say what it needs. */
int library_needed(void);
int needy(void);

__attribute__((visibility("default"))) int needy(void)
{
	return library_needed();
}
