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

contain_a_parser() {
	local code program library
	library=$(cd "$(dirname "$LYCHGATE")/../gate" && pwd)/liblychgate.a
	heading "4. A parser with a bug, in a domain"
	words <<-'EOF'
		samples/parser is a server whose parser writes where a request says. First without a domain: the request
		sets the server's own is_admin. Then the same function, unchanged, in a domain: the request ends that call,
		the report says what it tried, and the server answers the next one. In the PKU machine:
	EOF
	for program in parser regions; do
		"${CC:-cc}" -O2 -g -I "$here/../include" -o "$work/$program" "$here/$program/$program.c" "$library" \
			-lunwind-generic -lunwind -lseccomp
		expect "the compiler" 0 $?
		command_line "./dev vm -- build/dev/samples/$program/sample_$program"
		"$DEV" vm -- "$work/$program" >"$work/$program.out" 2>&1
		code=$?
		sed "s|$work/||" "$work/$program.out" | cut -c 1-160 | indent
		expect "$program in the PKU machine" 0 "$code"
		echo
		if [[ $program == parser ]]; then
			expect "the server's word for it" 0 "$(grep -qx "the server's memory is as it was" "$work/$program.out" && echo 0)"
			words <<-'EOF'

				Keys that lie in memory for as long as a program runs belong in a region, which is closed but in the
				blocks of code that name it. samples/regions, in the PKU machine again:
			EOF
		else
			words <<-'EOF'
				Without protection keys the mprotect backend does that, too, for the whole process and slowly:
			EOF
			command_line "build/dev/samples/regions/sample_regions mprotect"
			"$work/regions" mprotect >"$work/regions.out" 2>&1
			code=$?
			indent <"$work/regions.out"
			expect "regions with mprotect" 0 "$code"
		fi
	done
}

introduction
scan_the_system
refuse_the_planted_library
look_into_machines
contain_a_parser
heading "That was it"
words <<-'EOF'
	build/lychgate is the command; `build/lychgate --help` and ./dev help go on from here.
EOF
((failures == 0))
