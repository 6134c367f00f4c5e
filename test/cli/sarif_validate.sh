#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# sarif_validate.sh LYCHGATE DIR FILE...: reports of many kinds, each validated by @microsoft/sarif-multitool,
# which is installed below DIR. Without npm it fails; LYCH_NO_NPM=1 turns that into a visible skip (77).
set -eu -o pipefail
lychgate=$1
dir=$2
shift 2
version=5.7.0

if [ "${LYCH_NO_NPM:-}" = 1 ]; then
	echo "SKIPPED: LYCH_NO_NPM=1, SARIF is not validated"
	exit 77
fi
if ! command -v npm >/dev/null; then
	echo "npm is missing (apt-get install npm), or set LYCH_NO_NPM=1 to skip" >&2
	exit 1
fi
tool=$dir/node_modules/.bin/sarif-multitool
if [ ! -x "$tool" ] || [ "$(cat "$dir/version" 2>/dev/null)" != "$version" ]; then
	mkdir -p "$dir"
	npm install --no-audit --no-fund --prefix "$dir" "@microsoft/sarif-multitool@$version"
	# npm may leave out the package's own install step, which does this.
	chmod +x "$dir"/node_modules/@microsoft/sarif-multitool-linux/Sarif.Multitool
	echo "$version" >"$dir/version"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# The tool's exit code is 0 whatever it finds, so its own report is looked at.
validate() {
	rm -f "$work/verdict.sarif"
	"$tool" validate "$1" --output "$work/verdict.sarif" >"$work/log" 2>&1 || { cat "$work/log"; return 1; }
	grep -q "Analysis completed successfully" "$work/log" || { cat "$work/log"; return 1; }
	[ -s "$work/verdict.sarif" ] || { echo "no report"; return 1; }
	! grep -E ": error [A-Z]+[0-9]+:" "$work/log"
}

# check NAME EXIT-CODE LYCHGATE-ARGS...
check() {
	local name=$1 expected=$2 status=0
	shift 2
	(cd "$work/tree" && "$lychgate" scan -q --format sarif "$@") >"$work/$name.sarif" 2>"$work/err" || status=$?
	if [ "$status" != "$expected" ]; then
		echo "FAILED $name: exit code $status instead of $expected"
		cat "$work/err"
		failed=1
	elif ! validate "$work/$name.sarif"; then
		echo "FAILED $name"
		failed=1
	else
		echo "ok $name"
	fi
}

mkdir -p "$work/tree/a dir"
printf '\x31\xc0\x0f\x01\xef\xc3' >"$work/tree/code.bin"
printf '\x0f\x01\xef' >"$work/tree/a dir/ü%#?&<x>:1.bin"
printf '\x0f\x01\xef' >"$work/tree/a dir/"$'not\xffutf8\n.bin'
printf 'hello' >"$work/tree/text"
cp "$@" "$work/tree"

check clean 0 --raw text
check findings 1 "$@"
check relative 1 --raw "a dir" ./code.bin ../tree/code.bin
check high_address 1 --raw --base ffffffffffff0000 code.bin
check everything 1 --find all "$@"
"$lychgate" scan -q --raw --baseline "$work/baseline" --update-baseline "$work/tree/code.bin"
check known 0 --raw --baseline "$work/baseline" "$work/tree/code.bin"
check reported 0 --raw --fail-on int80 code.bin
check errors 2 /nonexistent text
check findings_and_errors 1 /nonexistent "$@" "nonexistent/ü"
check libc 1 --deps /bin/sh
check libc_accepted 0 --assume-runtime --deps /bin/sh
check process 0 --assume-runtime --pid $$

# The test is worth something only if the tool can say no.
sed 's/"message":/"massage":/' "$work/findings.sarif" >"$work/broken.sarif"
if validate "$work/broken.sarif" >/dev/null; then
	echo "FAILED: a broken report was accepted"
	failed=1
fi
exit $failed
