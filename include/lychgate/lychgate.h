/* SPDX-License-Identifier: Apache-2.0 */
/* Everything of the runtime, liblychgate. The scanner's library has <lychgate/scan.h>. */
#ifndef LYCHGATE_LYCHGATE_H
#define LYCHGATE_LYCHGATE_H

#include <lychgate/base.h>
#include <lychgate/domain.h>
#include <lychgate/error.h>
#include <lychgate/fault.h>
#include <lychgate/gate.h>
#include <lychgate/library.h>
#include <lychgate/policy.h>
#include <lychgate/region.h>

#endif /* LYCHGATE_LYCHGATE_H */
