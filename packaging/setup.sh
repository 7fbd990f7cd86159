#!/usr/bin/env bash
# Installs what a fresh Debian lacks for one purpose, and nothing when nothing is missing.
#
#   packaging/setup.sh node     build and run the node without a window
#   packaging/setup.sh window   the same with the window
#   packaging/setup.sh test     everything the tests need
#
# Debian packages come from apt as root or through sudo, the llama.cpp libraries from npm (runtime/install.sh).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
go_version=1.26

node=(gcc libc6-dev libffi8 libstdc++6 ca-certificates)
window=("${node[@]}" pkg-config libgl1-mesa-dev xorg-dev libgl1-mesa-dri)
# Headless screen and driver, session bus and keyring, a Vulkan device in software, the Windows compiler, JavaScript,
# network namespaces, the compiler of the protobuf messages.
test=("${window[@]}" xvfb xdotool imagemagick x11-utils openbox dbus gnome-keyring
	libvulkan1 mesa-vulkan-drivers gcc-mingw-w64-x86-64 nodejs
	iproute2 nftables protobuf-compiler)

fail() {
	echo "setup: $*" >&2
	exit 1
}

installed() {
	dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
}

# missing PACKAGE... prints those to be installed. A Node.js from elsewhere than Debian is as good.
missing() {
	local package
	for package in "$@"; do
		case "$package" in
		nodejs) command -v node >/dev/null && continue ;;
		npm) command -v npm >/dev/null && continue ;;
		pkg-config) command -v pkg-config >/dev/null && continue ;;
		esac
		installed "$package" || echo "$package"
	done
}

# as_root COMMAND... runs it as root: directly, or through sudo, which may ask for the password on a terminal.
as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
		sudo "$@"
	else
		fail "these Debian packages are missing and only root can install them: apt-get install $packages"
	fi
}

install_packages() {
	packages=$(missing "$@" | tr '\n' ' ')
	[ -n "$packages" ] || return 0
	command -v apt-get >/dev/null || fail "this system has no apt; install what these Debian packages hold: $packages"
	echo "setup: installing $packages"
	local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
	as_root "${apt[@]}" update </dev/null
	# shellcheck disable=SC2086 # the list is split on purpose
	as_root "${apt[@]}" install -y --no-install-recommends $packages </dev/null
}

check_go() {
	command -v go >/dev/null || fail "Go $go_version or newer is needed and was not found; get it from https://go.dev/dl"
	local have
	have=$(go env GOVERSION)
	have=${have#go}
	printf '%s\n' "$go_version" "$have" | sort -V -C ||
		fail "Go $go_version or newer is needed, this is Go $have; get it from https://go.dev/dl"
}

case "${1:-}" in
node) install_packages "${node[@]}" ;;
window) install_packages "${window[@]}" ;;
test) install_packages "${test[@]}" ;;
*) fail "usage: packaging/setup.sh node|window|test" ;;
esac
check_go
# npm is needed only until the libraries are there; the tests' JavaScript client needs it always.
if [ "$1" = test ] || [ ! -d "$("$here/runtime/install.sh" --where)" ]; then
	install_packages npm
fi
"$here/runtime/install.sh" >/dev/null
