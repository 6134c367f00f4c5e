# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Debian 12's packages that hold strays (packages.h), unpacked below the cache folder:
#
#   packages/NAME/    each by itself
#   packages/depends/ what they depend on, but for the C and C++ libraries, which are this machine's
#   packages/list     which ones there are, with their versions
#   packages-long/    the same, of the one that is too large for every run: only the library with the stray
#
# Sourced by dev, after machine.sh.

lych_package_names() {
	sed -n 's/^\t{"[^"]*", "\([^"]*\)".*/\1/p' "$LYCH_ROOT/test/packages/packages.h" | LC_ALL=C sort
}

lych_packages_ready() {
	local list=$LYCH_CACHE/packages/list
	[[ -s $list && $(cut -d ' ' -f 1 "$list" | LC_ALL=C sort) == "$(lych_package_names)" ]]
}

# lych_fetch_packages: fetches them when one is missing. Only names are given: which version it is is the archive's
# business, and a test of a library that has no stray any more says so.
lych_fetch_packages() {
	local into=$LYCH_CACHE/packages
	lych_packages_ready && return 0
	lych_need_apt "Debian's packages with strays" || return 1
	mkdir -p "$LYCH_CACHE"
	(
		flock 9
		local state=$LYCH_CACHE/apt/packages deb name
		local -a names
		lych_packages_ready && exit 0
		mapfile -t names < <(lych_package_names)
		echo "dev: fetching ${#names[@]} of Debian's packages with strays into ${LYCH_CACHE#"$PWD"/}" \
			"(about 70 MB, once; nothing is installed)" >&2
		lych_apt_open "$state" bookworm || exit 1
		rm -rf "$into" "$into.new" "$state"/cache/archives/*.deb
		mkdir -p "$into.new/depends"
		if ! apt-get -c "$state/apt.conf" install --yes --download-only --no-install-recommends "${names[@]}" \
			>"$state/download.log" 2>&1; then
			echo "dev: cannot download ${names[*]}:" >&2
			tail -n 15 "$state/download.log" | sed 's/^/    /' >&2
			exit 1
		fi
		for deb in "$state"/cache/archives/*.deb; do
			name=${deb##*/}
			name=${name%%_*}
			case " ${names[*]} " in
			*" $name "*)
				dpkg -x "$deb" "$into.new/$name" || exit 1
				echo "$name $(dpkg-deb -f "$deb" Version)" >>"$into.new/list"
				continue
				;;
			esac
			case $name in
			libc6 | libgcc-s1 | libstdc++6 | gcc-12-base) ;;
			*) dpkg -x "$deb" "$into.new/depends" || exit 1 ;;
			esac
		done
		# Documents and data that no test asks for.
		rm -rf "$into.new/depends/usr/share" "$state"/cache/archives/*.deb
		mv "$into.new" "$into"
	) 9>"$LYCH_CACHE/lock"
}

# The one with a REX2-shaped sequence, across `mov %rdx,%rbp` and a call, where an exception is handled.
LYCH_LONG_PACKAGE=libtorch1.13
LYCH_LONG_PACKAGE_FILES='./usr/lib/x86_64-linux-gnu/libtorch_python.so*'

lych_fetch_long_packages() {
	local into=$LYCH_CACHE/packages-long
	[[ -s $into/list ]] && return 0
	lych_need_apt "a package of Debian's with strays" || return 1
	mkdir -p "$LYCH_CACHE"
	(
		flock 9
		local state=$LYCH_CACHE/apt/packages
		[[ -s $into/list ]] && exit 0
		echo "dev: fetching $LYCH_LONG_PACKAGE into ${LYCH_CACHE#"$PWD"/} (30 MB, once; nothing is installed)" >&2
		lych_apt_open "$state" bookworm || exit 1
		rm -rf "$into" "$into.new"
		lych_apt_extract "$state" "$into.new/$LYCH_LONG_PACKAGE" "$LYCH_LONG_PACKAGE" "$LYCH_LONG_PACKAGE_FILES" ||
			exit 1
		echo "$LYCH_LONG_PACKAGE" >"$into.new/list"
		mv "$into.new" "$into"
	) 9>"$LYCH_CACHE/lock"
}
