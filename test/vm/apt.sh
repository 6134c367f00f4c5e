# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# An apt state of our own: indexes and packages of another Debian suite, below the cache folder, without
# touching the machine's sources, its package lists or what is installed. Its one source is derived from
# the sources that are configured here, so it uses the same mirror and is checked against the same keys.
#
# Sourced by machine.sh. Needs apt and dpkg; no root.

# lych_apt_candidates DIR: writes DIR/NN.sources for each configured source that looks like Debian's own
# archive, the likeliest first, with @SUITES@ where the suites go.
lych_apt_candidates() {
	local dir=$1 LIST='' PARTS='' file
	local -a lists=() deb822=()
	eval "$(apt-config shell LIST Dir::Etc::sourcelist/f PARTS Dir::Etc::sourceparts/d)"
	for file in "$LIST" "$PARTS"/*.list "$PARTS"/*.sources; do
		[[ -f $file ]] || continue
		if [[ $file == *.sources ]]; then
			deb822+=("$file")
		else
			lists+=("$file")
		fi
	done
	rm -rf "$dir"
	mkdir -p "$dir"
	{
		((${#lists[@]} == 0)) || awk "$LYCH_AWK_ONE_LINE" "${lists[@]}"
		((${#deb822[@]} == 0)) || awk "$LYCH_AWK_DEB822" "${deb822[@]}"
	} | awk -v codename="$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" -v dir="$dir" "$LYCH_AWK_CHOOSE"
}

# Both readers print one entry per block, the fields as in deb822, the blocks ended by an empty line.
# shellcheck disable=SC2016
LYCH_AWK_ONE_LINE='
	/^[ \t]*deb[ \t]/ {
		sub(/#.*/, "")
		extra = ""
		if (match($0, /\[[^]]*\]/)) {
			count = split(substr($0, RSTART + 1, RLENGTH - 2), options, /[ \t]+/)
			for (i = 1; i <= count; i++) {
				equals = index(options[i], "=")
				name = substr(options[i], 1, equals - 1)
				if (name ~ /^(signed-by|trusted|check-valid-until|check-date)$/)
					extra = extra name ": " substr(options[i], equals + 1) "\n"
			}
			sub(/\[[^]]*\]/, "")
		}
		components = ""
		for (i = 4; i <= NF; i++)
			components = components " " $i
		printf "types: deb\nuris: %s\nsuites: %s\ncomponents:%s\n%s\n", $2, $3, components, extra
	}'

# Comments may stand inside an entry, and a value may go on over lines that begin with a blank.
# shellcheck disable=SC2016
LYCH_AWK_DEB822='
	FNR == 1 { print "" }
	/^#/ { next }
	/^[ \t]*$/ { print ""; next }
	/^[ \t]/ { print; next }
	{
		colon = index($0, ":")
		print tolower(substr($0, 1, colon)) substr($0, colon + 1)
	}
	END { print "" }'

# shellcheck disable=SC2016
LYCH_AWK_CHOOSE='
	function word_in(word, list,   i, n, words) {
		n = split(list, words, /[ \t\n]+/)
		for (i = 1; i <= n; i++)
			if (words[i] == word)
				return 1
		return 0
	}
	function is_debian_suite(list,   i, n, words) {
		n = split(list, words, /[ \t\n]+/)
		for (i = 1; i <= n; i++)
			if (words[i] != "" && (words[i] == codename ||
			    words[i] ~ /^(old|oldold)?stable$|^(testing|unstable|sid|bookworm|trixie|forky)$/))
				return 1
		return 0
	}
	function finish(   uri, out, i, rank, kept) {
		uri = field["uris"]
		sub(/^[ \t\n]+/, "", uri)
		sub(/[ \t\n].*/, "", uri)
		if (word_in("deb", field["types"]) && word_in("main", field["components"]) &&
		    is_debian_suite(field["suites"]) && tolower(field["enabled"]) !~ /no|false|off|without|disable/ &&
		    uri != "" && uri !~ /^cdrom:/) {
			# Third parties name their suites after ours: where the path says debian is the likelier.
			rank = uri ~ /\/debian\/?$|^mirror\+file:/ ? 0 : 1
			out = sprintf("%s/%d%02d.sources", dir, rank, ++count)
			print "Types: deb\nURIs: " uri "\nSuites: @SUITES@\nComponents: main" > out
			print "Architectures: amd64\nTargets: Packages\nLanguages: none" > out
			kept = split("signed-by trusted check-valid-until check-date", names, " ")
			for (i = 1; i <= kept; i++)
				if (names[i] in field)
					print names[i] ":" field[names[i]] > out
			close(out)
		}
		split("", field)
		last = ""
	}
	/^$/ { finish(); next }
	/^[ \t]/ { field[last] = field[last] "\n" $0; next }
	{
		last = substr($0, 1, index($0, ":") - 1)
		field[last] = substr($0, index($0, ":") + 1)
	}
	END { finish() }'

# lych_apt_open DIR SUITES: an apt state in DIR with fresh indexes of SUITES. Afterwards
# `apt-get -c DIR/apt.conf ...` works on it. It believes that nothing is installed, so a download takes
# everything a package needs, whatever this machine has.
lych_apt_open() {
	local dir=$1 suites=$2 candidate log=$1/update.log
	mkdir -p "$dir/state/lists/partial" "$dir/cache/archives/partial" "$dir/empty"
	: >"$dir/status"
	: >"$log"
	cat >"$dir/apt.conf" <<-EOF
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
		#clear DPkg::Pre-Install-Pkgs;
		#clear DPkg::Post-Invoke;
		#clear APT::Architectures;
		APT::Architecture "amd64";
		APT::Architectures { "amd64"; };
		APT::Update::Error-Mode "any";
		APT::Sandbox::User "root";
		Acquire::Retries "3";
		Dir::Etc::SourceList "$dir/lych.sources";
		Dir::Etc::SourceParts "$dir/empty";
		Dir::Etc::Preferences "$dir/empty/none";
		Dir::Etc::PreferencesParts "$dir/empty";
		Dir::State "$dir/state";
		Dir::State::status "$dir/status";
		Dir::Cache "$dir/cache";
		Dir::Cache::archives "archives";
	EOF
	lych_apt_candidates "$dir/candidates"
	for candidate in "$dir/candidates"/*.sources; do
		[[ -f $candidate ]] || break
		sed "s/@SUITES@/$suites/" "$candidate" >"$dir/lych.sources"
		if apt-get -c "$dir/apt.conf" update >>"$log" 2>&1; then
			return 0
		fi
	done
	if [[ ! -s $log ]]; then
		echo "no entry for Debian's own archive (component main) in this machine's apt sources" >>"$log"
	fi
	echo "dev: cannot read the package index of Debian $suites:" >&2
	tail -n 15 "$log" | sed 's/^/    /' >&2
	return 1
}

# lych_apt_unpack DIR INTO PACKAGE[/SUITE]...: downloads packages with all they depend on and unpacks
# them (installs nothing) in INTO.
lych_apt_unpack() {
	local dir=$1 into=$2 log=$1/download.log deb
	shift 2
	rm -f "$dir"/cache/archives/*.deb
	if ! apt-get -c "$dir/apt.conf" install --yes --download-only --no-install-recommends "$@" >"$log" 2>&1; then
		echo "dev: cannot download $*:" >&2
		tail -n 15 "$log" | sed 's/^/    /' >&2
		return 1
	fi
	mkdir -p "$into"
	for deb in "$dir"/cache/archives/*.deb; do
		dpkg -x "$deb" "$into" || return 1
	done
	rm -f "$dir"/cache/archives/*.deb
}

# lych_apt_extract DIR INTO PACKAGE PATTERN...: downloads one package alone and takes out of it the files
# that match (tar's wildcards).
lych_apt_extract() {
	local dir=$1 into=$2 package=$3 log=$1/download.log
	shift 3
	rm -rf "$dir/one"
	mkdir -p "$dir/one" "$into"
	if ! (cd "$dir/one" && apt-get -c "$dir/apt.conf" download "$package") >"$log" 2>&1; then
		echo "dev: cannot download $package:" >&2
		tail -n 15 "$log" | sed 's/^/    /' >&2
		return 1
	fi
	dpkg --fsys-tarfile "$dir"/one/*.deb | tar -x -C "$into" --wildcards "$@" || return 1
	rm -rf "$dir/one"
}
