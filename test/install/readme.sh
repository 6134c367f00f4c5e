#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# readme.sh SOURCE: the first program that the README shows is the sample that is built and run.
set -eu
shown=$(mktemp)
trap 'rm -f "$shown"' EXIT
awk '/^```c$/ { inside = 1; next } inside && /^```$/ { exit } inside' "$1/README.md" >"$shown"
diff -u "$1/samples/refuse-plugin/refuse.c" "$shown"
