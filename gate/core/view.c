/* SPDX-License-Identifier: Apache-2.0 */
#include "view.h"

uint32_t view_with(uint32_t view, int key, enum rights rights)
{
	view &= ~VIEW_BITS(key);
	switch (rights) {
	case RIGHTS_WRITE:
		return view;
	case RIGHTS_READ:
		return view | VIEW_WD(key);
	case RIGHTS_NONE:
		break;
	}
	return view | VIEW_AD(key);
}

enum rights view_rights(uint32_t view, int key)
{
	if ((view & VIEW_AD(key)) != 0) {
		return RIGHTS_NONE;
	}
	return (view & VIEW_WD(key)) != 0 ? RIGHTS_READ : RIGHTS_WRITE;
}

uint32_t view_of_domain(enum lych_kind kind, int key, int gate_key)
{
	uint32_t view = VIEW_DENY_ALL;

	switch (kind) {
	case LYCH_KIND_CONTAIN:
	case LYCH_KIND_VAULT: /* trusted with the host's memory, not the other way round */
		view = view_with(view, 0, RIGHTS_WRITE);
		break;
	case LYCH_KIND_PURE:
		view = view_with(view, 0, RIGHTS_READ);
		break;
	case LYCH_KIND_LIBRARY:
		break;
	}
	view = view_with(view, gate_key, RIGHTS_READ);
	return view_with(view, key, RIGHTS_WRITE);
}

uint32_t view_of_host(uint32_t initial, int monitor_key, int gate_key, uint32_t domain_keys, uint32_t closed_keys)
{
	uint32_t view = initial;

	for (int key = 1; key < 16; key++) {
		if ((closed_keys >> key & 1) != 0) {
			view = view_with(view, key, RIGHTS_NONE);
		} else if ((domain_keys >> key & 1) != 0) {
			view = view_with(view, key, RIGHTS_WRITE);
		}
	}
	view = view_with(view, 0, RIGHTS_WRITE);
	view = view_with(view, monitor_key, RIGHTS_WRITE);
	return view_with(view, gate_key, RIGHTS_WRITE);
}
