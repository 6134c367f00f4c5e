/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One planned repair as text or as a line of JSON (SCHEMA.md, lychgate-repair/1).
 *
 * Planning is not part of the library's interface yet: hence the one header from beyond <lychgate/...>.
 */
#ifndef LYCHGATE_CMD_REPAIR_REPORT_H
#define LYCHGATE_CMD_REPAIR_REPORT_H

#include "../repair_file.h"
#include "json.h"

void repair_text_item(struct buf *out, const struct repair_item *item);
void repair_json_item(struct buf *out, const struct repair_item *item);
/* A line of JSON; takes the reference. */
void repair_json_record(struct buf *out, json_t *object);

#endif /* LYCHGATE_CMD_REPAIR_REPORT_H */
