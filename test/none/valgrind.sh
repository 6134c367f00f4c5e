#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: valgrind.sh VALGRIND NONE_TEST: its tests under valgrind, which must find no error and no leak; and must find a
# planted one. Exits with 77, and says why, where there is no valgrind, or one that cannot run programs of this machine.
set -u
valgrind=$1 program=$2
case $valgrind in
'' | *-NOTFOUND)
	echo "skipped: valgrind is not installed" >&2
	exit 77
	;;
esac
if ! "$valgrind" -q --error-exitcode=9 /bin/true 2>/dev/null; then
	echo "skipped: $valgrind cannot run /bin/true" >&2
	exit 77
fi
run=("$valgrind" -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite "$program")
"${run[@]}" --gtest_filter='None.*:Symbols.*:NoneMemory.*' || exit 1
out=$("${run[@]}" --gtest_also_run_disabled_tests --gtest_filter='NonePlanted.*' 2>&1)
if [ $? -ne 9 ] || ! grep -q 'Invalid write' <<<"$out"; then
	printf 'the planted error was not found:\n%s\n' "$out" >&2
	exit 1
fi
