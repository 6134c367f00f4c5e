/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LYCH_TEST_AUDITED_H
#define LYCH_TEST_AUDITED_H

/* In libuserspace_values.so; what becomes of them with an audit library is in audit.c. */

/* x + 1; with any of them x + 101. */
int audited_value(int x);
/* x; with la_pltenter x + 1000, and la_pltexit adds 1 to *exits. */
int audited_added(int x, int *exits);

#endif /* LYCH_TEST_AUDITED_H */
