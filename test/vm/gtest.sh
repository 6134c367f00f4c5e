#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The steps of lych_vm_test. LOG is the path, without an ending, of what one boot left behind: LOG.out
# what the gtest binary wrote, LOG.exit its exit code, LOG.console the kernel's words.
#
#   gtest.sh boot LOG VM-OPTION... -- BINARY   runs the binary; fails only when the machine does
#   gtest.sh case LOG SUITE.CASE               0 passed, 77 skipped, 1 failed or without a result
#   gtest.sh end LOG                           the binary ended by itself, and said what it found
set -uo pipefail

step=$1 log=$2
shift 2

boot() {
	local code name
	local -a env=()
	# How much is tested, and with what.
	for name in LYCH_LONG LYCH_SEED; do
		[[ -z ${!name:-} ]] || env+=(--env "$name=${!name}")
	done
	rm -f "$log.out" "$log.exit" "$log.console"
	"$(dirname "$0")/../../dev" vm "${env[@]}" --keep-log "$log.console" "$@" --gtest_color=no >"$log.out"
	code=$?
	tail -n 20 "$log.out"
	if ((code >= 120 && code <= 123)); then
		echo "the machine failed: exit code $code"
		exit "$code"
	fi
	echo "$code" >"$log.exit"
}

result_of_case() {
	awk -v name="$1" '
		index($0, "[ RUN      ] " name) && substr($0, length($0) - length(name) + 1) == name { shown = 1 }
		shown { print }
		shown && index($0, "[       OK ] " name " (") { code = 0; done = 1; exit }
		shown && index($0, "[  SKIPPED ] " name " (") { code = 77; done = 1; exit }
		shown && (index($0, "[  FAILED  ] " name " (") || index($0, "[  FAILED  ] " name ", where")) {
			code = 1
			done = 1
			exit
		}
		END {
			if (!done)
				print "no result of " name
			exit done ? code : 1
		}' "$log.out"
}

ended_well() {
	local code
	code=$(cat "$log.exit") || exit 1
	echo "exit code $code"
	# A failed case has failed by itself already.
	((code == 0)) || { ((code == 1)) && grep -q '^\[  FAILED  \] ' "$log.out"; } || exit 1
	grep -q '^\[==========\] .* ran\.' "$log.out"
}

case $step in
boot) boot "$@" ;;
case) result_of_case "$1" ;;
end) ended_well ;;
*) exit 2 ;;
esac
