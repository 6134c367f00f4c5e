#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
#   find.sh LYCHGATE PACKAGE...
#
# Says which strays the named packages of Debian 12 hold, and whether they can be repaired: to find others for
# packages.h. One package is fetched at a time and removed again; nothing is installed.
set -uo pipefail

LYCH_ROOT=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=test/vm/machine.sh
. "$LYCH_ROOT/test/vm/machine.sh"

(($# > 1)) || { sed -n '4,7s/^# \{0,3\}//p' "$0" >&2 && exit 2; }
lychgate=$1
shift
state=$LYCH_CACHE/apt/packages
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
lych_need_apt "a package" && lych_apt_open "$state" bookworm || exit 1
for package; do
	rm -rf "$work/files"
	lych_apt_extract "$state" "$work/files" "$package" '*' || continue
	echo "== $package"
	"$lychgate" scan --color=never "$work/files" 2>/dev/null | sed "s|^$work/files/||"
	"$lychgate" repair --plan --quiet --summary "$work/files" | sed -n '/^in code/p; /^in data.*[1-9]/p'
done
