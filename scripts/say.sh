# Sourced by the other scripts: how they speak, and where they keep things.
# shellcheck shell=bash

# say prints one step.
say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }

# warn prints what a reader must not overlook.
warn() { printf '\n\033[1;33m!!! %s\033[0m\n\n' "$*" >&2; }

# die says what is wrong and what to do, and ends the script.
die() {
	printf '\033[1;31merror:\033[0m %s\n' "$*" >&2
	exit 1
}

# cache is shared by all checkouts of one user, so that tools are built and
# clips fetched once.
cache="${XDG_CACHE_HOME:-$HOME/.cache}/millrace"

# apt runs apt-get as root, by sudo where that is needed.
apt() {
	command -v apt-get >/dev/null || die "this machine has no apt-get: install $APT_FOR by hand and run this again"
	if [[ $(id -u) -eq 0 ]]; then
		DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@" >&2
	elif command -v sudo >/dev/null; then
		sudo DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@" >&2
	else
		die "not root and no sudo: ask an administrator to run: apt-get install $APT_FOR"
	fi
}

# apt_install PACKAGE…: installs packages, with fresh lists when the first try fails.
apt_install() {
	APT_FOR="$*"
	say "installing $* (apt-get)"
	apt install --no-install-recommends "$@" || { apt update && apt install --no-install-recommends "$@"; }
}

# go_tool NAME MODULE@VERSION: builds a Go program once per version, Go
# toolchain and user, and links it into .tools/bin. Fails when it can't be had.
go_tool() {
	local name=$1 version=${2##*@}
	local dir="$cache/tools/$name-$version-$(go env GOVERSION)"
	if [[ ! -x $dir/$name ]]; then
		say "building $name $version (once; kept in $dir)"
		GOBIN="$dir" GOFLAGS=-trimpath go install "$2" || return 1
	fi
	mkdir -p .tools/bin
	[[ $(readlink ".tools/bin/$name") == "$dir/$name" ]] || ln -sfn "$dir/$name" ".tools/bin/$name"
}
