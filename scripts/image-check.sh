#!/usr/bin/env bash
# Runs the steps of the images' last stages without a container engine: in a
# Debian root of its own (debootstrap), as root. Then the program and the ffmpeg
# in it are tried as the images' user.
#
# Dockerfile.cuda is built on NVIDIA's Ubuntu image, which can't be had without
# an engine: its steps run in the same Debian root, which has the same packages
# by the same names. IMAGE_ROOT names a root that is there already.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/say.sh
. scripts/say.sh

suite=trixie
base=${IMAGE_ROOT:-$cache/root-$suite}
[ "$(id -u)" = 0 ] || die "image-check needs root, for chroot"
if [ ! -x "$base/bin/sh" ]; then
	command -v debootstrap >/dev/null || apt_install debootstrap
	say "making a Debian $suite root in $base"
	mkdir -p "$cache"
	debootstrap --variant=minbase "$suite" "$base" >/dev/null
fi

# steps prints the RUN lines of a Dockerfile's last stage, one a line.
steps() {
	awk '
		/^[[:space:]]*#/ { next }
		/\\$/ { sub(/\\$/, ""); held = held $0; next }
		{ line = held $0; held = "" }
		line ~ /^FROM / { n = 0; next }
		line ~ /^RUN / { sub(/^RUN /, "", line); run[n++] = line }
		END { for (i = 0; i < n; i++) print run[i] }
	' "$1"
}

work=$(mktemp -d)
cleanup() { rm -rf --one-file-system "$work"; }
trap cleanup EXIT
CGO_CFLAGS=-Wno-deprecated-declarations go build -trimpath -o "$work/millrace" ./cmd/millrace
CGO_ENABLED=0 go build -trimpath -o "$work/millrace-static" ./cmd/millrace

for file in Dockerfile Dockerfile.cuda; do
	root=$work/$file
	say "$file: copying the root"
	cp -a --reflink=auto "$base" "$root"
	cp /etc/resolv.conf "$root/etc/resolv.conf"
	while IFS= read -r step; do
		say "$file: RUN $step"
		chroot "$root" /bin/sh -c "$step" </dev/null >"$work/log" 2>&1 || { tail -n 20 "$work/log"; exit 1; }
	done < <(steps "$file")
	program=$work/millrace-static
	[ "$file" = Dockerfile.cuda ] && program=$work/millrace
	install -m 755 "$program" "$root/usr/local/bin/millrace"
	user=$(awk '$1 == "USER" { print $2 }' "$file" | tail -n 1)
	chroot --userspec="$user" "$root" /usr/local/bin/millrace version
	# No /proc in there, so the sandbox can't re-run the program: ffmpeg itself.
	chroot --userspec="$user" "$root" /bin/sh -c 'cd /data && touch writable && ffmpeg -v error -f lavfi -i testsrc2=d=1 -c:v libx264 -f null - && ffmpeg -hide_banner -encoders' >"$work/encoders"
	for encoder in libx264 h264_nvenc h264_vaapi h264_qsv; do
		grep -q " $encoder " "$work/encoders" || die "$file: its ffmpeg has no $encoder"
	done
	rm -rf --one-file-system "$root"
	say "$file: good"
done
