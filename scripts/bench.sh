#!/usr/bin/env bash
# bench.sh [CLIP] [OPTION…]: times jobs on one peer against plain ffmpeg, on
# this machine. Without a clip: a real 1080p one, twice in a row, 60 s in all.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/say.sh
source scripts/say.sh

scripts/need.sh ffmpeg
clip=${1:-}
[[ $# -eq 0 ]] || shift
if [[ -z $clip ]]; then
	scripts/fetch-media.sh
	bunny=${MILLRACE_MEDIA:-$cache/media}/bunny.mp4
	[[ -s $bunny ]] || die "the 1080p clip could not be had: run make bench CLIP=path (1080p, a minute or more)"
	clip=$cache/bench/bunny-60s.mp4
	if [[ ! -s $clip ]]; then
		mkdir -p "$cache/bench"
		ffmpeg -nostdin -v error -y -stream_loop 1 -i "$bunny" -map 0:v:0 -map 0:a:0 -c copy -movflags +faststart "$clip.part.mp4"
		mv "$clip.part.mp4" "$clip"
	fi
fi
bin/millrace bench node "$clip" "$@"
