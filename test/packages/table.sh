#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
#   table.sh LYCHGATE PACKAGES [CLASS]  all packages that packages.sh fetched; one of that class must be in their code
#   table.sh LYCHGATE --long /usr       a directory; only with LYCH_LONG set
#
# Prints what `lychgate repair --plan --summary` says: by class the sequences that are in code, planned for, and gone
# from a copy with all edits; those in data apart. Fails when one in code is not gone. Exit code 77: skipped.
set -uo pipefail

lychgate=$1
shift
folders=()
class=all
if [[ $1 == --long ]]; then
	shift
	if [[ -z ${LYCH_LONG:-} ]]; then
		echo "only with LYCH_LONG set: it reads all of $*"
		exit 77
	fi
	folders=("$@")
else
	if [[ ! -s $1/list ]]; then
		echo "no packages in $1: ./dev setup fetches them"
		exit 77
	fi
	cat "$1/list"
	class=${2:-all}
	while read -r name _; do
		folders+=("$1/$name")
	done <"$1/list"
fi

table=$("$lychgate" repair --plan --quiet --summary "${folders[@]}")
code=$?
printf '\n%s\n' "$table"
# 1: something in data, or undecided, cannot be repaired; 2: a file cannot be read
if ((code > 2)); then
	echo "FAILED: lychgate repair: exit code $code"
	exit 1
fi
awk -v class="$class" '
	$1 == "in" && $2 == "code" && $3 == class { of_class = $4 }
	/^in code +all / { rows++; found = $4; planned = $5; clean = $6 }
	/wrong plans 0$/ { right++ }
	END {
		if (of_class == 0) {
			print "FAILED: none of class " class " is in code"
			exit 1
		}
		if (rows != 1 || right != 1 || found == 0 || planned != found || clean != found) {
			print "FAILED: not all in code are planned for and gone"
			exit 1
		}
		print "all " found " in code are planned for and gone"
	}' <<<"$table"
