#!/usr/bin/env bash
# Puts the pinned llama.cpp libraries where Shoal looks for them and prints that folder.
#
#   packaging/runtime/install.sh [--where] [TARGET [DIR]]
#
# TARGET is a name from pins.txt, by default this machine's CPU flavour. DIR is by default
# ${XDG_CACHE_HOME:-~/.cache}/shoal/runtime/llama.cpp-VERSION-TARGET. Needs npm. A folder that is there already is
# left alone: it was renamed into place whole. With --where it only prints the folder.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

fail() {
	echo "runtime: $*" >&2
	exit 1
}

default_target() {
	case "$(uname -s)-$(uname -m)" in
	Linux-x86_64) echo linux-x64-cpu ;;
	Linux-aarch64) echo linux-arm64-cpu ;;
	*) fail "name a target of pins.txt: there is no default for $(uname -s) on $(uname -m)" ;;
	esac
}

# pins_of TARGET prints its lines of pins.txt.
pins_of() {
	awk -v target="$1" '$1 == target' "$here/pins.txt"
}

# matches FILE INTEGRITY tells whether the file has the hash that npm's integrity string holds in base64.
matches() {
	local want have
	want=$(printf '%s' "${2#sha512-}" | base64 -d | od -An -v -tx1 | tr -d ' \n')
	have=$(sha512sum "$1" | cut -d ' ' -f 1)
	[ "$have" = "$want" ]
}

# fetch PACKAGE VERSION INTEGRITY FOLDER unpacks the libraries of one archive into FOLDER.
fetch() {
	local package=$1 version=$2 integrity=$3 folder=$4 archive
	mkdir -p "$folder/.npm"
	# A cache of its own, so that neither a broken nor a foreign-owned user cache can get in the way.
	(cd "$folder/.npm" && npm pack --silent --cache "$folder/.npm/cache" "$package@$version" >/dev/null </dev/null) ||
		fail "npm could not fetch $package@$version; is the network there?"
	archive=$(find "$folder/.npm" -maxdepth 1 -name '*.tgz')
	matches "$archive" "$integrity" ||
		fail "$package@$version is not the archive that pins.txt names; nothing was installed"
	tar -xzf "$archive" -C "$folder/.npm"
	find "$folder/.npm/package/bins" -type f \( -name '*.so*' -o -name '*.dll' -o -name '*.dylib' -o -name '*.metal' \) \
		! -name '*llama-common.*' -exec mv {} "$folder/" \;
	rm -rf "$folder/.npm"
}

# plain_names FOLDER gives the versioned libraries (libllama.vulkan.v0.5.0.so) the names loaders look for
# (libllama.so). Windows has no symbolic links for everybody, so a DLL is copied.
plain_names() {
	local file base name
	for file in "$1"/{lib,}{llama,ggml}.*; do
		base=$(basename "$file")
		name=${base%%.*}.${base##*.}
		[ -e "$file" ] && [ "$base" != "$name" ] || continue
		case "$name" in
		*.dll) cp "$file" "$1/$name" ;;
		*) ln -s "$base" "$1/$name" ;;
		esac
	done
}

temp=
trap '[ -z "$temp" ] || rm -rf "$temp"' EXIT

main() {
	local only_where=false
	if [ "${1:-}" = --where ]; then
		only_where=true
		shift
	fi
	local target=${1:-$(default_target)} llama dir parent
	llama=$(pins_of "$target" | awk 'NR == 1 {print $2}')
	[ -n "$llama" ] || fail "pins.txt has no target $target; it has: $(awk '!/^#/ {print $1}' "$here/pins.txt" | uniq | tr '\n' ' ')"
	dir=${2:-${XDG_CACHE_HOME:-$HOME/.cache}/shoal/runtime/llama.cpp-$llama-$target}
	if ! $only_where && [ ! -d "$dir" ]; then
		command -v npm >/dev/null || fail "npm is needed to fetch the llama.cpp libraries: apt-get install npm"
		echo "runtime: fetching llama.cpp $llama ($target)" >&2
		parent=$(dirname "$dir")
		mkdir -p "$parent"
		temp=$(mktemp -d "$parent/.install.XXXXXX")
		chmod 755 "$temp"
		while read -r _ _ package version integrity; do
			fetch "$package" "$version" "$integrity" "$temp"
		done < <(pins_of "$target")
		plain_names "$temp"
		# Another run may have been faster; its folder is as good as ours.
		mv -T "$temp" "$dir" 2>/dev/null || [ -d "$dir" ] || fail "could not rename the libraries into $dir"
	fi
	echo "$dir"
}

main "$@"
