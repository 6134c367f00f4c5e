#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# readme.sh SOURCE: the programs that the README shows are the samples that are built and run.
set -eu
shown=$(mktemp)
trap 'rm -f "$shown"' EXIT
for sample in first/first.c refuse-plugin/refuse.c; do
	# the block of C that begins with the sample's own include
	include=$(grep -m 1 '^#include <lychgate' "$1/samples/$sample")
	awk -v include="$include" '
		/^```c$/ { inside = 1; text = ""; next }
		inside && /^```$/ { inside = 0; if (index(text, "\n" include "\n")) { printf "%s", text; exit } }
		inside { text = text $0 "\n" }' "$1/README.md" >"$shown"
	diff -u "$1/samples/$sample" "$shown"
done
