#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# gdb_walk.sh PROGRAM: stopped in a domain, and in a callback from there, gdb shows every function down to main; and it
# steps out of both, over the gate, as out of any function.
set -u
program=$1
if ! command -v gdb >/dev/null; then
	echo "no gdb here" >&2
	exit 77
fi
out=$(timeout 120 gdb -nx -batch -ex 'set confirm off' -ex 'set pagination off' -ex 'set debuginfod enabled off' \
	-ex 'handle SIGSYS SIGSEGV SIG33 nostop noprint pass' \
	-ex 'break inside_domain' -ex run -ex 'echo == in the domain\n' -ex bt \
	-ex 'break inside_callback' -ex continue -ex 'echo == in the callback\n' -ex bt \
	-ex 'delete' -ex 'echo == out of the callback\n' -ex finish -ex 'echo == and on\n' -ex continue "$program" 2>&1)
failed=0
# shows SECTION FUNCTION...: the backtrace of that section names these, in this order.
shows() {
	local section=$1 text function rest
	shift
	text=$(sed -n "/^== $section\$/,/^== /p" <<<"$out")
	rest=$text
	for function; do
		if [[ $rest != *"$function ("* ]]; then
			echo "$section: no $function (in this place)" >&2
			failed=1
		fi
		rest=${rest#*"$function ("}
	done
	if [[ $text == *'corrupt stack'* || $text == *'Backtrace stopped'* ]]; then
		echo "$section: gdb lost its way" >&2
		failed=1
	fi
}
shows 'in the domain' inside_domain outer main
shows 'in the callback' inside_callback inside_domain outer main
if ! grep -q 'Value returned is .* = 41' <<<"$out"; then
	echo "finish: did not come back from the callback with its value" >&2
	failed=1
fi
if ! grep -qx 'result 42' <<<"$out" || ! grep -q 'exited normally' <<<"$out"; then
	echo "the program did not end as it does without a debugger" >&2
	failed=1
fi
if ((failed)); then
	echo "$out" >&2
fi
exit "$failed"
