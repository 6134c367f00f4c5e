/* SPDX-License-Identifier: Apache-2.0 */
/* An audit library sees each symbol that is bound, and may lead it elsewhere; with la_pltenter each
 * call, too. */
#include "program.h"
#include "audited.h"

#include <stdlib.h>

void check_audit(void)
{
	int exits = 0;

	if (getenv("LD_AUDIT") == NULL) {
		CHECK(audited_value(1) == 2 && audited_added(1, &exits) == 1 && exits == 0);
		return;
	}
	for (int round = 1; round <= 3; round++) {
		/* la_symbind put another function in its place. */
		CHECK(audited_value(1) == 102);
		/* la_pltenter changed the argument, la_pltexit counted. */
		CHECK(audited_added(1, &exits) == (program.audited ? 1001 : 1));
		CHECK(exits == (program.audited ? round : 0));
	}
}
