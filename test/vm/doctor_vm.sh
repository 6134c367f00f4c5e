#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# `lychgate doctor` in the PKU machine, typed as a user would: exit code and words on both kernels, without
# privileges, and on a processor without keys. Prints one line for each check; any that fails fails the test.
#
# Environment: LYCHGATE (the command), DEV (the ./dev script).
set -uo pipefail

: "${LYCHGATE:?}" "${DEV:?}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

check() {
	if "${@:2}"; then
		echo "ok: $1"
	else
		echo "FAILED: $1"
		failures=$((failures + 1))
	fi
}

says() { grep -qE -- "$1" "$work/out"; }
says_not() { ! says "$1"; }

# doctor CODE OPTION...: runs it in the machine that the options describe and checks its exit code.
doctor() {
	local expected=$1 code
	shift
	echo "-- ./dev vm $* -- lychgate doctor"
	"$DEV" vm "$@" -- "$LYCHGATE" doctor >"$work/out" 2>"$work/err"
	code=$?
	check "exit code $expected" test "$code" -eq "$expected"
	if ((code != expected)); then
		sed 's/^/    | /' "$work/out" "$work/err"
	fi
}

for kernel in 6.1 6.12; do
	doctor 0 --kernel "$kernel"
	check "keys work" says '^Protection keys work here\.$'
	check "the self-test passed" says '^\[ok\] +selftest: .*SEGV_PKUERR with key [1-9]'
	check "15 keys are free" says '^\[ok\] +keys\.free: 15 of 15'
	check "nothing is refused" says_not '^\[no\]'
	check "in-image domains are possible" says '^  in-image domains .*: yes$'
	case $kernel in
	6.1)
		check "signal frames were tried" says '^\[warn\] +kernel\.signal_frames: .*rights only \(tried\)'
		check "no library domains before 6.12" says '^  library domains .*: no, without signal frames'
		;;
	*)
		check "signal frames were tried" says '^\[ok\] +kernel\.signal_frames: .*full rights \(tried\)'
		check "library domains are possible" says '^  library domains .*: yes$'
		;;
	esac
done

doctor 0 --user
check "keys work for an unprivileged user" says '^Protection keys work here\.$'

doctor 3 --no-pku
check "the CPU is named" says '^Protection keys do not work here, because cpu: .* no protection keys'
check "the way out is named" says 'because cpu: .* -> .*CPU model that has PKU'
check "the failed self-test is shown" says '^\[no\] +selftest: pkey_alloc'
check "nothing else is blamed" says_not 'Even if that is mended'

((failures == 0))
