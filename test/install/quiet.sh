#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# quiet.sh CONTROL LIBRARY...: no LIBRARY uses a function that prints to a place of its own choice, or ends the process:
# a library does neither. vdprintf, to a descriptor the caller names, is fine. CONTROL is a program that does both.
set -eu
loud='v?f?w?printf|puts|fputs|putc|fputc|putchar|fwrite|perror|psignal|psiginfo|v?syslog|v?warnx?|v?errx?'
loud="$loud|error|error_at_line|std(out|err)|abort|exit|_exit|_Exit|quick_exit|pthread_exit|raise"
loud="$loud|assert_fail|assert_perror_fail|assert"
# used FILE: those that it uses, fortified forms included.
used() {
	nm -D -u "$1" | awk '{ sub(/@.*/, "", $NF); print $NF }' | grep -Ex "(__)?($loud)(_chk)?" || true
}
if [ -z "$(used "$1")" ]; then
	echo "the control, $1, uses none of them: this test sees nothing" >&2
	exit 1
fi
shift
for library; do
	names=$(used "$library")
	if [ -n "$names" ]; then
		printf '%s uses:\n%s\n' "$library" "$names" >&2
		exit 1
	fi
done
