/* SPDX-License-Identifier: Apache-2.0 */
/* expect: lych_call_other_parse */
#include <lychgate/gate.h>

int parse(const char *);
LYCH_BIND(parser, parse, int, (const char *));
int use(struct lych_domain *parser, struct lych_domain *other, int *n);
int use(struct lych_domain *parser, struct lych_domain *other, int *n)
{
	(void)parser;
	(void)other;
#ifdef CONTROL
	return LYCH_CALL(parser, n, parse, "x");
#else
	return LYCH_CALL(other, n, parse, "x");
#endif
}
