#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What ./dev demo shows once everything is installed and built. Every step says what it is about to do,
# shows the command, and checks what came of it: the demo fails when a claim of it does not hold.
#
# Environment: LYCHGATE (the command), DEV (the ./dev script).
set -uo pipefail

: "${LYCHGATE:?}" "${DEV:?}"
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
	bold=$'\e[1m' plain=$'\e[0m'
else
	bold='' plain=''
fi

heading() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
words() { fmt -w 100; }
command_line() { printf '\n  %s$ %s%s\n' "$bold" "$*" "$plain"; }
indent() { sed 's/^/  /'; }

# expect WHAT ALLOWED-CODES CODE
expect() {
	if [[ " $2 " != *" $3 "* ]]; then
		echo "  !! $1: exit code $3, expected $2" >&2
		failures=$((failures + 1))
	fi
}

# first_finding FILE PATTERN: FILE:ADDRESS of the first finding line that matches.
first_finding() { grep -m 1 -- "$2" "$1" | sed 's/: .*//'; }

introduction() {
	heading "Lychgate"
	words <<-'EOF'
		A processor with protection keys can divide the memory of one program into parts, and a register, PKRU,
		says which parts the running code may touch. Writing that register takes one instruction, WRPKRU, three
		bytes long, and no privilege. So a program divided that way is only as safe as the answer to one
		question: where, in all the code it loads, do those bytes stand? The scanner answers it.
	EOF
}

scan_the_system() {
	local code total strays shown=3
	local -a folders=(/usr/bin /usr/lib/x86_64-linux-gnu)
	heading "1. This system's own programs and libraries"
	words <<-'EOF'
		First every executable byte below two folders. Nearly all of it is harmless. Findings are of these kinds:
		stray: nobody meant these bytes as that instruction, or nobody checks what it does; an attacker who can
		choose where to jump can use them. runtime-handled: the C library's own, known exactly; harmless once
		Lychgate's runtime is loaded. checked: followed by a check that cannot be skipped. gate: a door that
		Lychgate itself put there.
	EOF
	command_line "lychgate scan --summary ${folders[*]}"
	timeout 150 "$LYCHGATE" scan --color=never --summary --skip-unreadable "${folders[@]}" >"$work/system" 2>"$work/notes"
	code=$?
	expect "the scan of the system" "0 1" "$code"
	sed -n '/^$/,$p' "$work/system" | indent
	total=$(grep -cE ':0x[0-9a-f]+: ' "$work/system")
	strays=$(grep -cE ':0x[0-9a-f]+: stray ' "$work/system")
	echo
	echo "  $total places found, $strays of them strays. The exit code is $code$( ((code == 1)) && echo ': a scan with findings fails a build')."
	if ((strays > 0)); then
		echo "  Some strays, one line each (file and address, what it is, where it hides, the bytes, the code there):"
		echo
		grep -m "$shown" -E ':0x[0-9a-f]+: stray ' "$work/system" | cut -c 1-200 | indent
	fi
	words <<-'EOF'

		Usually one asks about a program: it, and every library the loader would load with it.
	EOF
	command_line "lychgate scan --deps /bin/bash"
	"$LYCHGATE" scan --color=never --deps /bin/bash >"$work/deps" 2>"$work/notes"
	expect "the scan of bash" "0 1" $?
	cut -c 1-200 "$work/deps" | indent
	words <<-'EOF'

		What is left there belongs to the C library and its loader, which every process has.
	EOF
}

refuse_the_planted_library() {
	local code library=$work/libplanted.so place
	heading "2. A library with two ways to open everything"
	words <<-'EOF'
		The library in samples/planted-library has one WRPKRU spelled out, and one that no disassembler shows:
		it lies inside the constant of an innocent xor.
	EOF
	command_line "cc -O2 -shared -o libplanted.so samples/planted-library/planted.c"
	"${CC:-cc}" -O2 -fPIC -shared -fvisibility=hidden -o "$library" "$here/planted-library/planted.c"
	expect "the compiler" 0 $?
	command_line "lychgate scan libplanted.so"
	"$LYCHGATE" scan --color=never "$library" >"$work/planted" 2>"$work/notes"
	code=$?
	sed "s|$work/||" "$work/planted" | cut -c 1-200 | indent
	expect "the scan of the planted library" 1 "$code"
	expect "the number of strays in it" 2 "$(grep -c ': stray ' "$work/planted")"
	echo
	echo "  Exit code $code: refused. The hidden one, explained:"
	place=$(first_finding "$work/planted" ': inside')
	command_line "lychgate explain ${place#"$work"/}"
	"$LYCHGATE" explain --color=never "$place" >"$work/explained" 2>"$work/notes"
	expect "the explanation" 1 $?
	sed "s|$work/||" "$work/explained" | indent
}

look_into_machines() {
	local code
	heading "3. Can this machine do it, and can the PKU machine?"
	words <<-'EOF'
		Many machines have no protection keys, or something in between forbids them. The doctor says which
		layer it is, and where there are keys it tries one: tag a page, write to it, expect the right fault.
	EOF
	command_line "lychgate doctor"
	"$LYCHGATE" doctor 2>&1 | indent
	code=${PIPESTATUS[0]}
	expect "the doctor here" "0 3" "$code"
	echo
	echo "  Exit code $code: protection keys $( ((code == 0)) && echo work || echo 'do not work') here."
	words <<-'EOF'

		The same program in the project's virtual machine, whose emulated processor has keys everywhere:
	EOF
	command_line "./dev vm -- lychgate doctor"
	"$DEV" vm -- "$LYCHGATE" doctor >"$work/doctor" 2>&1
	code=$?
	indent <"$work/doctor"
	expect "the doctor in the PKU machine" 0 "$code"
	echo
	echo "  Exit code $code: there they work. The project's tests run in it, on any computer."
}

# run_sample NAME WHERE: compiles samples/*/NAME.c once and runs it, in the PKU machine or here with the backend
# mprotect. Its output is in $work/NAME.out.
run_sample() {
	local name=$1 where=$2 code library
	local -a source=("$here"/*/"$name.c") libraries=(-lunwind-generic -lunwind -lseccomp) with=()
	[[ $name != library ]] || with=(--with /lib/x86_64-linux-gnu/libz.so.1)
	library=$(cd "$(dirname "$LYCHGATE")/../gate" && pwd)/liblychgate.a
	if [[ ! -x $work/$name ]]; then
		command_line "cc -O2 -g -I include -o $name samples/${source[0]#"$here"/} liblychgate.a ${libraries[*]}"
		"${CC:-cc}" -O2 -g -I "$here/../include" -o "$work/$name" "${source[0]}" "$library" "${libraries[@]}"
		expect "the compiler" 0 $?
	fi
	if [[ $where == machine ]]; then
		command_line "./dev vm ${with[*]}${with:+ }-- ./$name"
		"$DEV" vm "${with[@]}" -- "$work/$name" >"$work/$name.out" 2>&1
	else
		command_line "./$name mprotect"
		"$work/$name" mprotect >"$work/$name.out" 2>&1
	fi
	code=$?
	sed "s|$work/||" "$work/$name.out" | cut -c 1-160 | indent
	expect "$name, $where" 0 "$code"
}

# says NAME LINE: the sample's last run wrote that line.
says() { expect "$1's \"$2\"" 0 "$(grep -q -- "$2" "$work/$1.out" && echo 0)"; }

show_the_runtime() {
	heading "4. Keys at work: a tour"
	words <<-'EOF'
		A page of memory gets a key, rights to it are taken and given, and each access that is not allowed is
		tried and explained. In the PKU machine:
	EOF
	run_sample tour machine
	says tour "(backend pku)"
	says tour "key [0-9]* (region tour)"
	words <<-'EOF'

		Without protection keys the mprotect backend does that, too, for the whole process and slowly. Here:
	EOF
	run_sample tour native
	says tour "(backend mprotect, without keys)"

	heading "5. A secret that is closed"
	words <<-'EOF'
		Keys that lie in memory for as long as a program runs belong in a region, which is closed but in the
		blocks of code that name it. In the PKU machine, and here:
	EOF
	run_sample regions machine
	says regions "a stray write to a key in a region: signal 11 stops it"
	run_sample regions native
	says regions "a stray write to a key in a region: signal 11 stops it"

	heading "6. A parser with a bug, in a domain"
	words <<-'EOF'
		samples/parser is a server whose parser writes where a request says. First without a domain: the request
		sets the server's own is_admin. Then the same function, unchanged, in a domain: the request ends that call,
		the report says what it tried, and the server answers the next one. This one runs in the PKU machine
		only: it needs Linux 6.12, and memory that is read-only for one thread, which mprotect cannot give.
	EOF
	run_sample parser machine
	says parser "^the server's memory is as it was$"
}

repair_what_runs() {
	local code nettle bad=$work/libunrepairable.so library
	heading "7. A stray that nobody put there, repaired as it runs"
	nettle=$(ldconfig -p 2>/dev/null | awk '/libnettle\.so\.8 .*x86-64/ { print $NF; exit }')
	if [[ -z $nettle ]]; then
		echo "  libnettle 3.8 is not installed here: left out."
		return
	fi
	words <<-'EOF'
		Debian's libnettle holds two WRPKRU by accident, in its SM3. What would be done about them, with the code
		before and after:
	EOF
	command_line "lychgate repair --plan $nettle"
	"$LYCHGATE" repair --plan "$nettle" >"$work/plan" 2>"$work/notes"
	expect "the plan for libnettle" 0 $?
	cut -c 1-160 "$work/plan" | indent
	words <<-'EOF'

		lych_init does that in memory, with libc's and ld.so's own as well. The program computes the same before and after,
		and what the standard for SM3 gives. In the PKU machine, and here:
	EOF
	library=$(cd "$(dirname "$LYCHGATE")/../gate" && pwd)/liblychgate.a
	command_line "cc -O2 -I include -o repair samples/repair/repair.c liblychgate.a -lunwind-generic -lunwind -lseccomp"
	"${CC:-cc}" -O2 -I "$here/../include" -o "$work/repair" "$here/repair/repair.c" "$library" -lunwind-generic -lunwind -lseccomp
	expect "the compiler" 0 $?
	command_line "./dev vm --with $nettle -- ./repair"
	"$DEV" vm --with "$nettle" -- "$work/repair" >"$work/repair.out" 2>&1
	code=$?
	indent <"$work/repair.out"
	expect "repair, machine" 0 "$code"
	says repair "abc\" after: 66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
	command_line "./repair mprotect"
	"$work/repair" mprotect >"$work/repair.out" 2>&1
	code=$?
	indent <"$work/repair.out"
	expect "repair, native" 0 "$code"
	says repair "abc\" after: 66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
	words <<-'EOF'

		A library with something that nothing can take the place of is named, and the program does not start:
	EOF
	command_line "cc -O2 -shared -o libunrepairable.so samples/repair/unrepairable.c && ./repair mprotect libunrepairable.so"
	"${CC:-cc}" -O2 -fPIC -shared -fvisibility=hidden -o "$bad" "$here/repair/unrepairable.c"
	expect "the compiler" 0 $?
	"$work/repair" mprotect "$bad" >"$work/repair.out" 2>&1
	code=$?
	sed "s|$work/||g" "$work/repair.out" | cut -c 1-200 | indent
	expect "repair with a library that cannot be" 1 "$code"
	says repair "^refused: code: libunrepairable.so"
}

open_a_library() {
	heading "8. The system's zlib, isolated"
	words <<-'EOF'
		The program believes what a message says about its length, and zlib writes as much. Called directly that overwrites
		what the program knows of its admins. Then the same libz.so.1, unmodified, in a library domain: with a loader, C library and
		heap of its own, and no right to any memory of the program. In the PKU machine:
	EOF
	run_sample library machine
	says library "^without a domain: bomb: aaaaa..., admins: 1633771873$"
	says library "^in a domain: bomb: too long, admins: 1$"
	says library "^into the program: the domain faulted"
}

introduction
scan_the_system
refuse_the_planted_library
look_into_machines
show_the_runtime
repair_what_runs
open_a_library
heading "That was it"
words <<-'EOF'
	build/lychgate is the command; `build/lychgate --help` and ./dev help go on from here.
EOF
((failures == 0))
