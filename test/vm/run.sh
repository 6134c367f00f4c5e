# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# ./dev vm: one program, run in the PKU machine. Sourced by dev.

# shellcheck source=test/vm/machine.sh
. "$LYCH_ROOT/test/vm/machine.sh"

# Exit codes of the machine itself; everything else is the program's.
LYCH_VM_PANIC=120
LYCH_VM_HANG=121
LYCH_VM_NO_RESULT=122
LYCH_VM_NOT_STARTED=123

# Files above this size go to the disk instead of the initramfs.
LYCH_VM_SMALL_BYTES=$((4 << 20))

lych_vm_help() {
	cat <<-'EOF'
		usage: ./dev vm [OPTIONS] -- PROGRAM [ARGUMENT]...

		Runs PROGRAM with the libraries it needs in a virtual machine that has protection keys, at its own
		path, and returns its output and its exit code (128+N when signal N ended it). No root is needed.
		stdin is empty; the working directory is the present one. The guest has /proc, /sys, /dev, /tmp,
		a loopback interface, busybox, and nothing else of this machine but what is named here.

		  --kernel 6.1|6.12|FILE  the kernel (default 6.12); FILE is any bzImage with serial, NVMe and ext4
		  --cpus N                processors (default 1)
		  --icount                count instructions: rdtsc counts what the one processor retires
		  --user                  run as an unprivileged user (1000) instead of root
		  --no-pku                a processor without protection keys
		  --forward PORT          127.0.0.1:PORT here reaches PORT in the guest
		  --with FILE             one more file, with the libraries it needs, or a folder as it is; at the same path
		  --env NAME=VALUE        one more environment variable
		  --memory MIB            memory (default 1024)
		  --timeout SECONDS       after which the machine counts as hung (default 300)
		  --boot WORDS            more words for the kernel, as "vsyscall=emulate"
		  --cpu FEATURES          more of the processor's, as QEMU calls them: vendor=GenuineIntel
		  --keep-log FILE         keep the console, where the kernel speaks

		Set in the guest: LYCH_VM=1, LYCH_VM_KERNEL (6.1, 6.12), and LYCH_REQUIRE_PKU=1 unless --no-pku.

		Exit codes of the machine itself, each with the reason and the end of the console on stderr:
		  120  the guest's kernel panicked or oopsed
		  121  it ran past the timeout
		  122  it went off without a result (the program switched it off, or ended process 1)
		  123  it could not be started (wrong usage, a file missing, QEMU failed)
	EOF
}

lych_vm_die() {
	echo "dev vm: $*" >&2
	exit "$LYCH_VM_NOT_STARTED"
}

# The part of the root file system that is the same in every run: process 1, busybox, a passwd file.
lych_vm_base() {
	local base=$LYCH_CACHE/vm/base.cpio init=$LYCH_CACHE/vm/guest_init source=$LYCH_ROOT/test/vm/guest_init.c
	local here=${BASH_SOURCE[0]} stage
	[[ $base -nt $source && $base -nt $here && $base -nt $(lych_busybox) ]] && return 0
	(
		flock 9
		[[ $base -nt $source && $base -nt $here && $base -nt $(lych_busybox) ]] && exit 0
		set -e
		cc -std=c11 -O2 -static -Wall -Wextra -Wno-unused-result -o "$init.new" "$source"
		mv "$init.new" "$init"
		stage=$LYCH_CACHE/vm/base
		rm -rf "$stage"
		lych_vm_skeleton "$stage"
		mkdir -p "$stage"/{etc,root,home/user,run,var/tmp,lych/disk}
		cp "$init" "$stage/init"
		cp "$(lych_busybox)" "$stage/usr/bin/busybox"
		"$(lych_busybox)" --list | while read -r applet; do
			[[ $applet == busybox ]] || ln -s busybox "$stage/usr/bin/$applet"
		done
		printf '%s\n' 'root:x:0:0:root:/root:/bin/sh' 'user:x:1000:1000:user:/tmp:/bin/sh' >"$stage/etc/passwd"
		printf '%s\n' 'root:x:0:' 'user:x:1000:' >"$stage/etc/group"
		printf '%s\n' 'passwd: files' 'group: files' 'hosts: files' >"$stage/etc/nsswitch.conf"
		printf '%s\n' '127.0.0.1 localhost lychgate-vm' >"$stage/etc/hosts"
		lych_vm_archive "$stage" "$base.new"
		mv "$base.new" "$base"
		rm -rf "$stage"
	) 9>"$LYCH_CACHE/lock" || lych_vm_die "cannot build the guest's first process"
}

# The folders that are links on every Debian since 12 are links in the guest, too.
lych_vm_skeleton() {
	local link
	mkdir -p "$1"/usr/{bin,sbin,lib,lib64,lib32} "$1/tmp"
	for link in bin sbin lib lib64 lib32; do
		ln -s "usr/$link" "$1/$link"
	done
}

lych_vm_archive() {
	(cd "$1" && find . | "$(lych_busybox)" cpio -o -H newc -R 0:0 2>/dev/null) >"$2"
}

# lych_vm_add PATH: puts a file or folder of this machine at the same path into the guest, with the
# libraries and the interpreter it needs. Uses the caller's work, seen and (for what init shall do) run.
lych_vm_add() {
	local path real size first line
	path=$(realpath -s -- "$1")
	real=$(realpath -e -- "$1" 2>/dev/null) || lych_vm_die "$1: no such file"
	[[ -z ${seen[$path]:-} ]] || return 0
	seen[$path]=1
	if [[ $path != "$real" ]]; then
		# The way there leads over links: the file lies where it really is, and the name leads to it.
		lych_vm_add "$real"
		mkdir -p "$work/root${path%/*}"
		if [[ ! -e $work/root$path && ! -L $work/root$path ]]; then
			ln -s "$real" "$work/root$path"
		fi
		return 0
	fi
	if [[ -d $real ]]; then
		lych_vm_add_to_disk "$real"
		return 0
	fi
	[[ -f $real ]] || lych_vm_die "$1: neither a file nor a folder"
	size=$(stat -c %s -- "$real")
	if ((size > LYCH_VM_SMALL_BYTES)); then
		lych_vm_add_to_disk "$real"
	else
		mkdir -p "$work/root${real%/*}"
		cp -- "$real" "$work/root$real" || lych_vm_die "$1: cannot be copied"
	fi
	LC_ALL=C IFS= read -r -n 4 first <"$real" 2>/dev/null || true
	if [[ $first == $'\x7fELF' ]]; then
		while IFS= read -r line; do
			lych_vm_add "$line"
		done < <(lych_vm_libraries "$real")
	elif [[ $first == '#!'* ]]; then
		IFS= read -r line <"$real"
		read -r line _ <<<"${line#'#!'}"
		lych_vm_add "$line"
	fi
}

lych_vm_libraries() {
	# Fails for what is statically linked, which needs none.
	ldd "$1" 2>/dev/null | awk '
		/=> not found/ { print "dev vm: " $1 " not found" > "/dev/stderr"; next }
		{ for (i = 1; i <= NF; i++) if ($i ~ /^\//) print $i }'
}

lych_vm_add_to_disk() {
	local path=$1
	mkdir -p "$work/disk${path%/*}" "$work/root${path%/*}"
	cp -a --reflink=auto -- "$path" "$work/disk$path" || lych_vm_die "$path: cannot be copied"
	if [[ -d $path ]]; then
		mkdir -p "$work/root$path"
	else
		: >"$work/root$path"
		chmod --reference="$path" "$work/root$path"
	fi
	run+=("bind=$path")
}

lych_vm_disk() {
	local kib
	[[ -d $work/disk ]] || return 0
	kib=$(du -sk --apparent-size "$work/disk" | cut -f 1)
	lych_mke2fs
	# Room for what du does not see, and for what the program may write beside it.
	"${lych_command[@]}" -q -t ext4 -O ^has_journal -m 0 -E root_owner=0:0,lazy_itable_init=1 -d "$work/disk" \
		"$work/disk.img" $((kib + kib / 4 + 16384))k >"$work/mke2fs.log" 2>&1 ||
		lych_vm_die "cannot make the disk: $(tail -n 3 "$work/mke2fs.log")"
	rm -rf "$work/disk"
	machine+=(-drive "file=$work/disk.img,format=raw,if=none,id=disk,cache=unsafe"
		-device "nvme,serial=lychgate,drive=disk")
}

# lych_vm_follow PID SECONDS: passes on what the guest writes until process PID ends; false when it ran
# past its time. The ports are files, not pipes: QEMU drops what a full pipe does not take.
lych_vm_follow() {
	local pid=$1 deadline=$((SECONDS + $2)) out err on_time=0
	exec {out}<"$work/out" {err}<"$work/err"
	while kill -0 "$pid" 2>/dev/null; do
		if ((SECONDS >= deadline)); then
			kill -KILL "$pid" 2>/dev/null
			on_time=1
			break
		fi
		cat <&"$out"
		cat <&"$err" >&2
		sleep 0.1
	done
	wait "$pid" 2>/dev/null
	lych_vm_qemu_status=$?
	cat <&"$out"
	cat <&"$err" >&2
	exec {out}<&- {err}<&-
	return "$on_time"
}

lych_vm_failed() {
	echo "dev vm: $2" >&2
	if [[ -s $work/console ]]; then
		echo "dev vm: the end of the console:" >&2
		tail -n 40 "$work/console" | tr -d '\r' | sed 's/^/    | /' >&2
	fi
	exit "$1"
}

# Reads the console and the result and exits with what came of it.
lych_vm_judge() {
	local on_time=$1 seconds=$2 kind='' number=''
	if grep -aqE 'Kernel panic - not syncing|\] (Oops|BUG): ' "$work/console"; then
		lych_vm_failed "$LYCH_VM_PANIC" "the guest's kernel panicked"
	fi
	((on_time == 0)) || lych_vm_failed "$LYCH_VM_HANG" "no end after $seconds seconds"
	if ((lych_vm_qemu_status != 0)); then
		sed 's/^/    /' "$work/qemu.log" >&2
		lych_vm_failed "$LYCH_VM_NOT_STARTED" "QEMU failed (exit code $lych_vm_qemu_status)"
	fi
	read -r kind number <"$work/result" || true
	case $kind in
	exit) exit "$number" ;;
	signal)
		echo "dev vm: signal $number ended the program" >&2
		exit $((128 + number))
		;;
	*) lych_vm_failed "$LYCH_VM_NO_RESULT" "the machine went off without a result" ;;
	esac
}

lych_vm() {
	local kernel=6.12 cpus=1 icount=0 user=0 pku=1 forward='' memory=1024 seconds=300 keep='' boot='' features='' program
	local -a with=() env=()
	while (($# > 0)); do
		case $1 in
		--help | -h)
			lych_vm_help
			exit 0
			;;
		--icount) icount=1 ;;
		--user) user=1000 ;;
		--no-pku) pku=0 ;;
		--)
			shift
			break
			;;
		--kernel | --cpus | --forward | --with | --env | --memory | --timeout | --keep-log | --boot | --cpu)
			(($# > 1)) || lych_vm_die "$1 needs a value"
			case $1 in
			--kernel) kernel=$2 ;;
			--cpus) cpus=$2 ;;
			--forward) forward=$2 ;;
			--with) with+=("$2") ;;
			--env) env+=("$2") ;;
			--memory) memory=$2 ;;
			--timeout) seconds=$2 ;;
			--keep-log) keep=$2 ;;
			--boot) boot=$2 ;;
			--cpu) features=$2 ;;
			esac
			shift
			;;
		-*) lych_vm_die "unknown option $1 (./dev vm --help)" ;;
		*) break ;;
		esac
		shift
	done
	(($# > 0)) || lych_vm_die "which program? (./dev vm --help)"
	for program in "$cpus" "$memory" "$seconds" "${forward:-1}"; do
		[[ $program =~ ^[1-9][0-9]{0,8}$ ]] || lych_vm_die "'$program' is not a number"
	done
	if ((icount && cpus > 1)); then
		lych_vm_die "--icount counts the instructions of one processor"
	fi
	lych_fetch_machine || exit "$LYCH_VM_NOT_STARTED"
	lych_vm_base
	lych_vm_run "$@"
}

# The rest of lych_vm, which holds the options.
lych_vm_run() {
	local work image version=$kernel module item
	local -A seen=()
	local -a run=() machine=() modules=()
	work=$(mktemp -d "${TMPDIR:-/tmp}/lychgate-vm.XXXXXX") || lych_vm_die "no place for temporary files"
	# shellcheck disable=SC2064 # the folder's name as it is now
	trap "rm -rf '$work'" EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	lych_vm_skeleton "$work/root"
	mkdir "$work/root/lych"

	image=$LYCH_CACHE/kernel/$kernel/vmlinuz
	if [[ -f $image ]]; then
		modules=("$LYCH_CACHE/kernel/$kernel"/*.ko)
	else
		[[ $kernel == */* && -f $kernel ]] || lych_vm_die "no kernel '$kernel': ${LYCH_KERNELS[*]}, or a path"
		image=$kernel
	fi

	program=$1
	if [[ $program != */* ]]; then
		program=$(type -P -- "$program") || program=/usr/bin/$program
	fi
	program=$(realpath -s -- "$program")
	if [[ -e $program ]]; then
		lych_vm_add "$program"
	elif ! "$(lych_busybox)" --list | grep -qxF -- "${program##*/}"; then
		lych_vm_die "$1: no such program"
	fi
	for item in "${with[@]}"; do
		lych_vm_add "$item"
	done
	mkdir -p "$work/root$PWD"

	shift
	run+=("cwd=$PWD" "user=$user" "arg=$program" "${@/#/arg=}")
	run+=(env=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin env=LYCH_VM=1
		"env=LYCH_VM_KERNEL=$version" "env=HOME=$( ((user)) && echo /tmp || echo /root)")
	((pku == 0)) || run+=(env=LYCH_REQUIRE_PKU=1)
	run+=("${env[@]/#/env=}")
	lych_vm_disk
	if [[ -n $forward ]]; then
		mkdir "$work/root/lych/modules"
		for module in "${modules[@]}"; do
			cp "$module" "$work/root/lych/modules"
			run+=("module=/lych/modules/${module##*/}")
		done
		run+=(net=1)
		machine+=(-netdev "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:$forward-10.0.2.15:$forward"
			-device "virtio-net-pci,netdev=net,romfile=")
	fi
	printf '%s\0' "${run[@]}" >"$work/root/lych/run"
	lych_vm_archive "$work/root" "$work/run.cpio"
	cat "$LYCH_CACHE/vm/base.cpio" "$work/run.cpio" >"$work/initrd"
	rm -rf "$work/root" "$work/run.cpio"
	lych_vm_boot
}

lych_vm_boot() {
	local port status=0 thread=multi model=max pid
	lych_qemu || lych_vm_die "no QEMU $LYCH_QEMU_MAJOR or later"
	((pku)) || model=max,-pku
	model+=${features:+,$features}
	if ((icount)); then
		machine+=(-icount "shift=0,sleep=off")
		thread=single
	fi
	for port in console out err result; do
		: >"$work/$port"
		machine+=(-chardev "file,id=$port,path=$work/$port" -serial "chardev:$port")
	done
	# no_timer_check: on a busy host the ticks come too late by which the kernel tries its timer, and it panics.
	"${lych_command[@]}" -nodefaults -no-user-config -display none -no-reboot -machine pc \
		-accel "tcg,thread=$thread" \
		-cpu "$model" -smp "$cpus" -m "$memory" -kernel "$image" -initrd "$work/initrd" "${machine[@]}" \
		-append "console=ttyS0 panic=-1 oops=panic no_timer_check cryptomgr.notests $boot" </dev/null >"$work/qemu.log" 2>&1 &
	pid=$!
	# shellcheck disable=SC2064 # the process as it is now
	trap "kill -KILL $pid 2>/dev/null; rm -rf '$work'" EXIT
	lych_vm_follow "$pid" "$seconds" || status=1
	# The process is gone: its number may be somebody else's by now.
	# shellcheck disable=SC2064
	trap "rm -rf '$work'" EXIT
	if [[ -n $keep ]]; then
		cp "$work/console" "$keep" || echo "dev vm: cannot write $keep" >&2
	fi
	lych_vm_judge "$status" "$seconds"
}
