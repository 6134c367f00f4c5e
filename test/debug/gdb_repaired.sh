#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# gdb_repaired.sh PROGRAM: at each instruction of a trampoline gdb shows the functions down to main, also when one faults
# there, and in the core; and it steps over the line as if nothing had been moved.
set -u
program=$1
if ! command -v gdb >/dev/null; then
	echo "no gdb here" >&2
	exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
begin='set confirm off
set pagination off
set debuginfod enabled off
handle SIGSYS SIG33 nostop noprint pass
break outer
run'
# $in: instructions in the trampoline; -1 when it was left
cat >"$work/steps" <<END
$begin
set \$n = 0
set \$in = 0
while \$n < 30 && \$in >= 0
  stepi
  python gdb.set_convenience_variable("text", gdb.execute("info symbol \$pc", to_string=True))
  if \$_regex(\$text, "repair:reads_far.*")
    set \$in = \$in + 1
    printf "== trampoline\\n"
    bt
  else
    if \$in > 0
      printf "== behind\\n"
      bt
      set \$in = -1
    end
  end
  set \$n = \$n + 1
end
delete
continue
printf "== fault\\n"
info symbol \$pc
bt
generate-core-file $work/core
printf "== and on\\n"
continue
END
cat >"$work/lines" <<END
$begin
break reads_far
continue
printf "== next\\n"
next
printf "== finish\\n"
finish
continue
END
failed=0
complain() {
	echo "$1" >&2
	failed=1
}
# shows WHAT TEXT: the backtrace names the three functions, in this order.
shows() {
	local rest=$2 function
	for function in reads_far outer main; do
		[[ $rest == *"$function ("* ]] || complain "$1: no $function (in this place)"
		rest=${rest#*"$function ("}
	done
	if [[ $2 == *'corrupt stack'* || $2 == *'Backtrace stopped'* ]]; then
		complain "$1: gdb lost its way"
	fi
}
# section TITLE [N]: the Nth section of that title of $out
section() {
	awk -v title="== $1" -v n="${2:-1}" '/^== /{on = $0 == title && ++seen == n} on' <<<"$out"
}
out=$(timeout 120 gdb -nx -batch -x "$work/steps" "$program" 2>&1)
count=$(grep -c '^== trampoline$' <<<"$out")
((count >= 2)) || complain "$count instructions in a trampoline"
for ((i = 1; i <= count; i++)); do
	shows "instruction $i" "$(section trampoline "$i")"
done
shows 'behind the trampoline' "$(section behind)"
[[ $(section fault) == *repair:reads_far* ]] || complain 'the fault is not in the trampoline'
shows 'at the fault' "$(section fault)"
[[ $(section 'and on') == *'the handler ran'* && $out == *'exited normally'* ]] ||
	complain 'the program did not end as it does without a debugger'
core=$(timeout 120 gdb -nx -batch -ex 'set debuginfod enabled off' -ex bt "$program" "$work/core" 2>&1)
shows 'in the core' "$core"
((failed)) && printf '%s\n%s\n' "$out" "$core" >&2

out=$(timeout 120 gdb -nx -batch -x "$work/lines" "$program" 2>&1)
line=$(grep -nF '/* behind it */' "${BASH_SOURCE%/*}/repaired.c")
grep -qE "^${line%%:*}[^0-9]" <<<"$(section next)" || complain 'next does not stop at the next line'
[[ $(section finish) =~ 'Value returned is '.*' = 1' ]] || complain 'finish does not come back with the value'
((failed)) && echo "$out" >&2
exit "$failed"
