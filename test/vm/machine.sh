# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# What the PKU machine is made of, fetched once into the cache folder and used from there:
#
#   vm/root/         QEMU >= 9, busybox and mke2fs with every library they need, the C library included,
#                    unpacked from Debian's packages and run by their own ld.so; what this machine
#                    has itself in a good version is not fetched
#   kernel/6.1, 6.12 vmlinuz, version, and the modules for a network card
#   capstone5/       Debian 13's libcapstone.so.5 and include/capstone, for tests
#   debian13/        Debian 13's C and C++ libraries with their ld.so, unpacked; version is what it says of itself
#
# Sourced with LYCH_ROOT (the project) set.

lych_command=()
LYCH_CACHE=${LYCH_CACHE:-$LYCH_ROOT/.cache}
LYCH_KERNELS=(6.1 6.12)
# QEMU 7.2, Debian 12's own, corrupts 6.12 kernels at random.
LYCH_QEMU_MAJOR=9

# shellcheck source=test/vm/apt.sh
. "$LYCH_ROOT/test/vm/apt.sh"

# lych_vm_tool PATH: sets lych_command to the command line that starts a program of vm/root.
lych_vm_tool() {
	local root=$LYCH_CACHE/vm/root
	# Not by way of lib64, where an absolute link leads to this machine's own loader.
	lych_command=("$root/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" --library-path
		"$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu" "$root$1")
}

# lych_qemu: sets lych_command to the command line that starts QEMU, or fails.
lych_qemu() {
	local major
	if [[ -x $LYCH_CACHE/vm/root/usr/bin/qemu-system-x86_64 ]]; then
		lych_vm_tool /usr/bin/qemu-system-x86_64
		lych_command+=(-L "$LYCH_CACHE/vm/root/usr/share/qemu" -L "$LYCH_CACHE/vm/root/usr/share/seabios")
		return 0
	fi
	major=$(qemu-system-x86_64 --version 2>/dev/null | sed -n 's/^QEMU emulator version \([0-9]*\).*/\1/p')
	((${major:-0} >= LYCH_QEMU_MAJOR)) || return 1
	lych_command=(qemu-system-x86_64)
}

# lych_mke2fs: the same for mke2fs.
lych_mke2fs() {
	if [[ -x $LYCH_CACHE/vm/root/sbin/mke2fs ]]; then
		lych_vm_tool /sbin/mke2fs
		return 0
	fi
	lych_command=("$(PATH=$PATH:/usr/sbin:/sbin type -P mke2fs)")
	[[ -n ${lych_command[0]} ]]
}

# Copied out of the package, so that no installed busybox has to give way to the static one.
lych_busybox() { echo "$LYCH_CACHE/vm/root/bin/busybox"; }

lych_machine_ready() {
	local kernel
	lych_qemu && lych_mke2fs && [[ -x $(lych_busybox) ]] || return 1
	for kernel in "${LYCH_KERNELS[@]}"; do
		[[ -f $LYCH_CACHE/kernel/$kernel/version ]] || return 1
	done
}

# lych_fetch_machine: fetches what is missing of the machine. Silent and quick where nothing is.
lych_fetch_machine() {
	lych_machine_ready && return 0
	lych_need_apt "the PKU machine (QEMU, two kernels)" || return 1
	mkdir -p "$LYCH_CACHE/vm"
	(
		flock 9
		lych_machine_ready && exit 0
		local state=$LYCH_CACHE/apt/bookworm kernel
		echo "dev: fetching the PKU machine into ${LYCH_CACHE#"$PWD"/}" \
			"(about 100 MB, once; nothing is installed)" >&2
		lych_apt_open "$state" "bookworm bookworm-backports" || exit 1
		lych_fetch_tools "$state" || exit 1
		for kernel in "${LYCH_KERNELS[@]}"; do
			lych_fetch_kernel "$state" "$kernel" || exit 1
		done
	) 9>"$LYCH_CACHE/lock"
}

# lych_fetch_capstone5: fetches Debian 13's Capstone, the library and its headers.
lych_fetch_capstone5() {
	local into=$LYCH_CACHE/capstone5
	lych_capstone5_ready && return 0
	lych_need_apt "Debian 13's Capstone" || return 1
	mkdir -p "$LYCH_CACHE"
	(
		flock 9
		local state=$LYCH_CACHE/apt/trixie
		lych_capstone5_ready && exit 0
		echo "dev: fetching Debian 13's Capstone into ${LYCH_CACHE#"$PWD"/} (nothing is installed)" >&2
		lych_apt_open "$state" trixie || exit 1
		rm -rf "$into" "$into.new"
		lych_apt_extract "$state" "$into.new" libcapstone5 \
			'./usr/lib/x86_64-linux-gnu/libcapstone.so.5*' || exit 1
		lych_apt_extract "$state" "$into.new" libcapstone-dev './usr/include/capstone/*' || exit 1
		mv "$into.new"/usr/lib/x86_64-linux-gnu/libcapstone.so.5* "$into.new/usr/include" "$into.new"
		rm -r "$into.new/usr"
		mv "$into.new" "$into"
	) 9>"$LYCH_CACHE/lock"
}

lych_capstone5_ready() {
	[[ -f $LYCH_CACHE/capstone5/libcapstone.so.5 && -f $LYCH_CACHE/capstone5/include/capstone/capstone.h ]]
}

# What a program that uses the runtime loads from the system. They are unpacked with all they need themselves.
LYCH_DEBIAN13_PACKAGES=(libc6 libgcc-s1 libstdc++6 libunwind8 libseccomp2)

# lych_fetch_debian13: fetches Debian 13's C and C++ libraries, for tests that start programs with them.
lych_fetch_debian13() {
	local into=$LYCH_CACHE/debian13
	lych_debian13_ready && return 0
	lych_need_apt "Debian 13's C library" || return 1
	mkdir -p "$LYCH_CACHE"
	(
		flock 9
		local state=$LYCH_CACHE/apt/trixie libraries=$into.new/usr/lib/x86_64-linux-gnu
		lych_debian13_ready && exit 0
		echo "dev: fetching Debian 13's C and C++ libraries into ${LYCH_CACHE#"$PWD"/} (nothing is installed)" >&2
		lych_apt_open "$state" trixie || exit 1
		rm -rf "$into" "$into.new"
		lych_apt_unpack "$state" "$into.new" "${LYCH_DEBIAN13_PACKAGES[@]}" || exit 1
		# Character sets and documents, which no test asks for.
		rm -rf "$into.new/usr/share" "$into.new/etc" "$libraries/gconv"
		# The C library is a program, too: it says which version it is.
		if ! "$libraries/ld-linux-x86-64.so.2" --library-path "$libraries" "$libraries/libc.so.6" >"$into.new/version"; then
			echo "dev: Debian 13's C library does not start" >&2
			rm -rf "$into.new"
			exit 1
		fi
		mv "$into.new" "$into"
	) 9>"$LYCH_CACHE/lock"
}

lych_debian13_ready() { [[ -s $LYCH_CACHE/debian13/version ]]; }

lych_need_apt() {
	local tool
	for tool in apt-get apt-config dpkg tar awk flock; do
		command -v "$tool" >/dev/null && continue
		echo "dev: $1 comes from Debian's archive by way of apt, and this machine has no $tool" >&2
		return 1
	done
}

lych_fetch_tools() {
	local state=$1 new=$LYCH_CACHE/vm/root.new
	local -a packages=(busybox-static)
	rm -rf "$new" "$LYCH_CACHE/vm/root"
	lych_qemu || packages+=(qemu-system-x86)
	lych_mke2fs || packages+=(e2fsprogs)
	lych_apt_unpack "$state" "$new" -t bookworm-backports "${packages[@]}" || return 1
	# Documents, translations, and the other machines' emulators are two thirds of it.
	rm -rf "$new"/usr/share/{doc,man,locale,info} "$new"/usr/lib/x86_64-linux-gnu/gconv "$new"/usr/lib/ipxe \
		"$new"/usr/bin/qemu-system-{i386,x86_64-microvm}
	mv "$new" "$LYCH_CACHE/vm/root"
	if ! lych_qemu || ! "${lych_command[@]}" --version >"$LYCH_CACHE/vm/qemu-version" 2>&1; then
		echo "dev: the unpacked QEMU does not start:" >&2
		sed 's/^/    /' "$LYCH_CACHE/vm/qemu-version" >&2
		rm -rf "$LYCH_CACHE/vm/root"
		return 1
	fi
}

# In the order in which they are loaded; what a kernel has built in is no file and is left out.
LYCH_NET_MODULES=(virtio virtio_ring virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci failover
	net_failover virtio_net)

lych_fetch_kernel() {
	local state=$1 kernel=$2 new=$LYCH_CACHE/kernel/$2.new package module file number=10
	[[ -f $LYCH_CACHE/kernel/$kernel/version ]] && return 0
	package=$(apt-cache -c "$state/apt.conf" pkgnames "linux-image-$kernel." |
		grep -E '^linux-image-[0-9.]+[0-9a-z.+~-]*-cloud-amd64$' | sort -V | tail -n 1)
	if [[ -z $package ]]; then
		echo "dev: Debian's archive offers no cloud kernel $kernel" >&2
		return 1
	fi
	rm -rf "$new" "$new.files"
	mkdir -p "$new"
	lych_apt_extract "$state" "$new.files" "$package" './boot/vmlinuz-*' './lib/modules/*/kernel/drivers/virtio/*' \
		'./lib/modules/*/kernel/drivers/net/*failover.ko*' './lib/modules/*/kernel/drivers/net/virtio_net.ko*' \
		'./lib/modules/*/kernel/net/core/failover.ko*' || return 1
	mv "$new.files"/boot/vmlinuz-* "$new/vmlinuz"
	for module in "${LYCH_NET_MODULES[@]}"; do
		file=$(find "$new.files/lib" -name "$module.ko" -o -name "$module.ko.xz")
		case $file in
		*.xz) "$(lych_busybox)" xzcat "$file" >"$new/$number-$module.ko" ;;
		*.ko) cp "$file" "$new/$number-$module.ko" ;;
		esac
		number=$((number + 1))
	done
	rm -rf "$new.files" "$LYCH_CACHE/kernel/$kernel"
	echo "${package#linux-image-}" >"$new/version"
	mv "$new" "$LYCH_CACHE/kernel/$kernel"
}
