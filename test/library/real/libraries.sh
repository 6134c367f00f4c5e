# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Debian 12's libraries that are run in library domains (table.h), unpacked below the cache folder:
#
#   libraries/lib/   the shared libraries, with those they depend on, but for the C and C++ libraries, which are this
#                    machine's
#   libraries/list   the packages asked for, with their versions
#
# Sourced by dev, after machine.sh.

lych_library_names() {
	sed -n 's/^\t{"[^"]*", "[^"]*", "\([^"]*\)".*/\1/p' "$LYCH_ROOT/test/library/real/table.h" | tr ' ' '\n' | LC_ALL=C sort -u
}

lych_libraries_ready() {
	local list=$LYCH_CACHE/libraries/list
	# A list that names more is that of another checkout, which shares the cache.
	[[ -s $list && -z $(LC_ALL=C comm -13 <(cut -d ' ' -f 1 "$list" | LC_ALL=C sort -u) <(lych_library_names)) ]]
}

# lych_fetch_libraries: fetches them when one is missing. Only names are given: which version it is is the archive's
# business.
lych_fetch_libraries() {
	local into=$LYCH_CACHE/libraries
	lych_libraries_ready && return 0
	lych_need_apt "Debian's libraries" || return 1
	mkdir -p "$LYCH_CACHE"
	(
		flock 9
		local state=$LYCH_CACHE/apt/libraries deb name
		local -a names
		lych_libraries_ready && exit 0
		mapfile -t names < <(lych_library_names)
		echo "dev: fetching ${#names[@]} of Debian's libraries into ${LYCH_CACHE#"$PWD"/}" \
			"(about 45 MB, once; nothing is installed)" >&2
		lych_apt_open "$state" bookworm || exit 1
		rm -rf "$into" "$into.new" "$state"/cache/archives/*.deb
		mkdir -p "$into.new/lib"
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
			*" $name "*) echo "$name $(dpkg-deb -f "$deb" Version)" >>"$into.new/list" ;;
			esac
			case $name in
			libc6 | libgcc-s1 | libstdc++6 | gcc-12-base) ;;
			*) rm -rf "$into.new/one" && dpkg -x "$deb" "$into.new/one" && lych_take_libraries "$into.new" || exit 1 ;;
			esac
		done
		rm -rf "$into.new/one" "$state"/cache/archives/*.deb
		mv "$into.new" "$into"
	) 9>"$LYCH_CACHE/lock"
}

# lych_take_libraries DIR: the shared libraries of DIR/one into DIR/lib, each beside the others.
lych_take_libraries() {
	local folder
	for folder in lib usr/lib; do
		[[ -d $1/one/$folder/x86_64-linux-gnu ]] || continue
		find "$1/one/$folder/x86_64-linux-gnu" \( -type f -o -type l \) -name 'lib*.so*' \
			-exec cp -P -t "$1/lib" {} + || return 1
	done
}
