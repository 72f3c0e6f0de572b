#!/usr/bin/env bash
# need.sh THING…: installs what is missing of ffmpeg, versitygw, chromium, network, cc.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/say.sh
source scripts/say.sh

# The S3 server that storage's tests run against.
versitygw_version=v1.8.0

for thing in "$@"; do
	case $thing in
	ffmpeg)
		command -v ffmpeg >/dev/null && command -v ffprobe >/dev/null || apt_install ffmpeg
		;;
	versitygw)
		# Tests look at $MILLRACE_VERSITYGW, then at PATH, then at .tools/bin.
		[[ -x ${MILLRACE_VERSITYGW:-} ]] || command -v versitygw >/dev/null ||
			go_tool versitygw "github.com/versity/versitygw/cmd/versitygw@$versitygw_version" ||
			die "versitygw $versitygw_version could not be built: check the network, or set MILLRACE_VERSITYGW to a binary"
		;;
	chromium)
		# Where it can't be had, the test of playback skips itself and says so.
		command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null ||
			(apt_install chromium) || warn "chromium could not be installed: playback in a browser WILL NOT BE TESTED"
		;;
	network)
		# Peers with addresses of their own, and what goes wrong between them.
		command -v ip >/dev/null || [[ -x /sbin/ip ]] || apt_install iproute2
		command -v nft >/dev/null || [[ -x /usr/sbin/nft ]] || apt_install nftables
		;;
	cc)
		# The race detector needs cgo.
		command -v "$(go env CC)" >/dev/null || apt_install gcc libc6-dev
		;;
	*) die "need.sh doesn't know $thing" ;;
	esac
done
