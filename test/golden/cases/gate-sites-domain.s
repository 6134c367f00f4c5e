# SPDX-License-Identifier: Apache-2.0
# The same code as gate-sites.s, scanned as code for a domain: no note is believed.
# cc: -shared -Wa,-I,@
# no-gates
	.include "gate-sites.s"
