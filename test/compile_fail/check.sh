#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: check.sh INCLUDE FILE COMPILER [ARGUMENT]...
# FILE must not compile, with a message that matches its line "expect: REGEX" ("expect-c++: REGEX" where the two
# languages differ), and must compile with -DCONTROL, so that it is refused for this reason alone. With a line "only: FAMILY"
# another compiler must accept both.
set -u
include=$1 file=$2 compiler=$3
shift 2
compile=("$@" -O1 -Wall -Wextra -Wpedantic -Werror -S -o /dev/null -I "$include")
expect=$(sed -n 's/.*expect: \(.*[^ ]\) *\(\*\/\)\{0,1\}$/\1/p' "$file" | sed 's/ *\*\/$//')
case " $* " in
*" -xc++ "*)
	other=$(sed -n 's/.*expect-c++: \(.*\)/\1/p' "$file" | sed 's/ *\*\/$//')
	expect=${other:-$expect}
	;;
esac
[ -n "$expect" ] || { echo "$file: no line says what to expect" >&2; exit 1; }

if ! control=$("${compile[@]}" -DCONTROL "$file" 2>&1); then
	printf '%s: the control does not compile either:\n%s\n' "$file" "$control" >&2
	exit 1
fi
only=$(sed -n 's/.*only: \([a-z]*\).*/\1/p' "$file")
if [ -n "$only" ] && [[ $(basename "$compiler") != *$only* ]]; then
	exec "${compile[@]}" "$file"
fi
if output=$("${compile[@]}" "$file" 2>&1); then
	echo "$file: compiles" >&2
	exit 1
fi
if ! grep -qE -- "$expect" <<<"$output"; then
	printf '%s: refused, but not for "%s":\n%s\n' "$file" "$expect" "$output" >&2
	exit 1
fi
