#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# exports.sh LIBRARY LIST: the names LIBRARY defines for others are exactly those in LIST.
set -eu
have=$(nm -D --defined-only "$1" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | LC_ALL=C sort)
want=$(cat "$2")
if [ "$have" != "$want" ]; then
	printf 'exported names differ from %s:\n%s\n' "$2" "$have" >&2
	exit 1
fi
