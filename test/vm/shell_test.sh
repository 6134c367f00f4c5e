#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The parts of the machine's shell code that need no machine: which apt source is taken, which QEMU is
# refused, how results are read. Prints one line for each check; any that fails fails the test.
set -uo pipefail

LYCH_ROOT=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
LYCH_CACHE=$work/cache
# shellcheck source=test/vm/machine.sh
. "$LYCH_ROOT/test/vm/machine.sh"
# shellcheck source=test/packages/packages.sh
. "$LYCH_ROOT/test/packages/packages.sh"
# shellcheck source=test/library/real/libraries.sh
. "$LYCH_ROOT/test/library/real/libraries.sh"
failures=0

check() {
	local name=$1 expected=$2 got=$3
	if [[ $got == "$expected" ]]; then
		echo "ok: $name"
	else
		printf 'FAILED: %s\n  expected: %q\n  got:      %q\n' "$name" "$expected" "$got"
		failures=$((failures + 1))
	fi
}

# sources_here NAME: the derived entries, likeliest first, when stdin is the machine's only source file.
sources_here() {
	rm -rf "${work:?}/etc"
	mkdir -p "$work/etc/parts"
	cat >"$work/etc/parts/$1"
	printf 'Dir::Etc::sourcelist "%s";\nDir::Etc::sourceparts "%s";\n' "$work/etc/none" "$work/etc/parts" >"$work/apt.conf"
	APT_CONFIG=$work/apt.conf lych_apt_candidates "$work/candidates"
	cat "$work"/candidates/*.sources 2>/dev/null
}

field() { sed -n "s/^$1: *//Ip" | paste -sd ' '; }

# ---- sources ----
check "a one-line entry keeps its keys and options" "http://mirror.example/debian /k.gpg no" "$(sources_here a.list <<-'EOF' |
	# deb http://commented.example/debian bookworm main
	deb [ arch=amd64 signed-by=/k.gpg check-valid-until=no ] http://mirror.example/debian bookworm main contrib # words
	deb-src http://source.example/debian bookworm main
	deb http://mirror.example/debian-security bookworm-security main
EOF
	field '\(uris\|signed-by\|check-valid-until\)')"

check "a deb822 entry with comments and several suites is read" "http://mirror.example/debian /k.gpg" "$(sources_here a.sources <<-'EOF' |
	Types: deb deb-src
	# URIs: http://commented.example/debian
	URIs: http://mirror.example/debian http://second.example/debian
	Suites: bookworm bookworm-updates
	Components: main
	 contrib
	Signed-By: /k.gpg

	Types: deb
	URIs: http://mirror.example/debian-security
	Suites: bookworm-security
	Components: main
EOF
	field '\(uris\|signed-by\)')"

check "a key given in the entry itself is kept whole" $' -----BEGIN\n .\n abc\n -----END' "$(sources_here a.sources <<-'EOF' |
	Types: deb
	URIs: http://mirror.example/debian
	Suites: stable
	Components: main
	Signed-By:
	 -----BEGIN
	 .
	 abc
	 -----END
EOF
	grep '^ ')"

check "disabled entries, disks and sources without main are no candidates" "" "$(sources_here a.sources <<-'EOF'
	Types: deb
	URIs: http://mirror.example/debian
	Suites: bookworm
	Components: main
	Enabled: no

	Types: deb
	URIs: cdrom:[Debian]/
	Suites: bookworm
	Components: main

	Types: deb
	URIs: http://other.example/linux
	Suites: bookworm
	Components: stable
EOF
)"

check "Debian's own archive goes before a third party's of the same suite" \
	"http://mirror.example/debian/ http://packages.example/prod" "$(sources_here a.list <<-'EOF' |
	deb http://packages.example/prod bookworm main
	deb http://mirror.example/debian/ bookworm main
EOF
	field uris)"

# ---- QEMU ----
with_qemu() (
	mkdir -p "$work/bin"
	printf '#!/bin/sh\necho "QEMU emulator version %s"\n' "$1" >"$work/bin/qemu-system-x86_64"
	chmod +x "$work/bin/qemu-system-x86_64"
	PATH=$work/bin:$PATH
	lych_qemu && echo taken || echo refused
)
check "QEMU 7.2 is refused" refused "$(with_qemu '7.2.19 (Debian 1:7.2+dfsg-7)')"
check "QEMU 8.2 is refused" refused "$(with_qemu 8.2.2)"
check "QEMU 10 is taken" taken "$(with_qemu '10.0.2 (Debian)')"

# ---- what was fetched ----
ready() { "$@" && echo ready || echo missing; }
check "Debian 13's libraries that nobody fetched are missing" missing "$(ready lych_debian13_ready)"
mkdir -p "$LYCH_CACHE/debian13/usr/lib"
: >"$LYCH_CACHE/debian13/version"
check "such that did not say their version are missing" missing "$(ready lych_debian13_ready)"
echo "GNU C Library" >"$LYCH_CACHE/debian13/version"
check "such that did are not fetched again" ready "$(ready lych_fetch_debian13)"

check "packages that nobody fetched are missing" missing "$(ready lych_packages_ready)"
mkdir -p "$LYCH_CACHE/packages"
lych_package_names | sed '1d; s/$/ 1.0-1/' >"$LYCH_CACHE/packages/list"
check "packages of which one is new in the list are missing" missing "$(ready lych_packages_ready)"
lych_package_names | sed 's/$/ 1.0-1/' >"$LYCH_CACHE/packages/list"
check "packages that are there in any version are not fetched again" ready "$(ready lych_fetch_packages)"
check "packages have names" "libcvc5-1 libflame1" "$(lych_package_names | head -n 2 | paste -sd ' ')"

check "libraries that nobody fetched are missing" missing "$(ready lych_libraries_ready)"
mkdir -p "$LYCH_CACHE/libraries"
lych_library_names | sed '1d; s/$/ 1.0-1/' >"$LYCH_CACHE/libraries/list"
check "libraries of which one is new in the table are missing" missing "$(ready lych_libraries_ready)"
{ lych_library_names && echo libother1; } | sed 's/$/ 1.0-1/' >"$LYCH_CACHE/libraries/list"
check "libraries that are there in any version are not fetched again" ready "$(ready lych_fetch_libraries)"
check "libraries have names" "zlib1g" "$(lych_library_names | tail -n 1)"

# ---- results ----
cat >"$work/log.out" <<-'EOF'
	[==========] Running 6 tests from 1 test suite.
	[ RUN      ] S.Good
	[       OK ] S.Good (0 ms)
	[ RUN      ] S.GoodToo
	half a line[       OK ] S.GoodToo (0 ms)
	[ RUN      ] S.Bad
	x.cc:1: Failure
	[  FAILED  ] S.Bad (1 ms)
	[ RUN      ] T/S.Row/1
	[  FAILED  ] T/S.Row/1, where GetParam() = 4 (0 ms)
	[ RUN      ] S.Left
	x.cc:9: Skipped
	[  SKIPPED ] S.Left (0 ms)
	[ RUN      ] S.Crash
EOF
result_of() {
	bash "$LYCH_ROOT/test/vm/gtest.sh" "$@" >"$work/said" 2>&1
	echo $?
}
check "a case that passed" 0 "$(result_of case "$work/log" S.Good)"
check "a case that wrote before its result" 0 "$(result_of case "$work/log" S.GoodToo)"
check "a case that failed" 1 "$(result_of case "$work/log" S.Bad)"
check "its failure is shown and nothing else" 3 "$(wc -l <"$work/said")"
check "a row that failed" 1 "$(result_of case "$work/log" T/S.Row/1)"
check "a case that skipped" 77 "$(result_of case "$work/log" S.Left)"
check "a case in which the binary died" 1 "$(result_of case "$work/log" S.Crash)"
check "a case that was never reached" 1 "$(result_of case "$work/log" S.Never)"
echo 139 >"$work/log.exit"
check "a binary that a signal ended has not ended well" 1 "$(result_of end "$work/log")"
echo 0 >"$work/log.exit"
check "a binary that ended before it said so has not ended well" 1 "$(result_of end "$work/log")"
echo '[==========] 6 tests from 1 test suite ran. (3 ms total)' >>"$work/log.out"
check "a binary that ended with its summary has ended well" 0 "$(result_of end "$work/log")"
echo 1 >"$work/log.exit"
check "a binary in which a case failed has ended well" 0 "$(result_of end "$work/log")"

((failures == 0))
