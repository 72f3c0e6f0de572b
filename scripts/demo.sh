#!/usr/bin/env bash
# demo.sh [VIDEO]: one job on one peer, from nothing. VIDEO is a path or an
# http(s) URL; without it a real clip is fetched from Debian's archive. The
# ladder lands in demo-out/; everything else is temporary.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/say.sh
source scripts/say.sh

out=$PWD/demo-out
resolutions=${RESOLUTIONS:-240p,360p,480p,720p}

# fetch_clip prints the path of a real phone video (1280x720, 8 s, stereo),
# unpacked into the cache folder without installing its package.
fetch_clip() {
	local package=forensics-samples-files
	local clip="$cache/clips/usr/share/forensics-samples/original-files/movie2/movie-hello.mp4"
	if [[ ! -s $clip ]]; then
		command -v apt-get >/dev/null || die "no clip at hand: run make demo VIDEO=path-or-url"
		say "fetching a real clip (Debian package $package, 30 MB, once)"
		mkdir -p "$cache/clips"
		(
			cd "$cache/clips"
			# As root, apt would like to download as another user, who can't
			# write here; that is no matter.
			if ! apt-get -q -o APT::Sandbox::User=root download "$package" >&2; then
				APT_FOR=$package
				apt update && apt-get -q -o APT::Sandbox::User=root download "$package" >&2
			fi
			dpkg-deb --fsys-tarfile "$package"_*.deb | tar -x --wildcards '*/movie-hello.mp4'
			rm -f "$package"_*.deb
		) || die "the clip could not be fetched: run make demo VIDEO=path-or-url"
	fi
	[[ -s $clip ]] || die "the package $package has no movie-hello.mp4 any more: run make demo VIDEO=path-or-url"
	printf '%s\n' "$clip"
}

# free_port prints a port of 127.0.0.1 that nothing listens on.
free_port() {
	local port
	while :; do
		port=$((20000 + RANDOM % 12000))
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { printf '%s\n' "$port"; return; }
	done
}

# ready says whether the peer takes jobs. (In a subshell: a connection that is
# refused must not end the script.)
ready() (
	exec 3<>"/dev/tcp/127.0.0.1/$http" || exit
	printf 'GET /readyz HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' >&3
	read -r status <&3
	[[ $status == *" 200 "* ]]
) 2>/dev/null

# measure FILE ENTRY: what ffprobe says of the first video stream.
measure() {
	ffprobe -v error -select_streams v:0 -count_packets -show_entries "$2" -of csv=p=0 "$1" | awk 'NF && !seen++ { gsub(/,/, ""); print }'
}

peer=
data=
cleanup() {
	local code=$?
	trap - EXIT
	if [[ -n $peer ]] && kill -TERM "$peer" 2>/dev/null; then
		wait "$peer" || true
	fi
	if [[ $code -ne 0 && -s $data/peer.log ]]; then
		printf '\nthe peer said last:\n' >&2
		tail -n 15 "$data/peer.log" >&2
	fi
	[[ -z $data ]] || rm -rf "$data"
	exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

scripts/need.sh ffmpeg
video=${1:-}
[[ -n $video ]] || video=$(fetch_clip)
roots=()
network=()
case $video in
http://127.* | http://localhost* | https://localhost*) network=(--allow-source-network 127.0.0.0/8) ;;
http://* | https://*) ;;
*)
	[[ -f $video ]] || die "there is no file $video"
	video=$(realpath "$video")
	roots=(--source-root "$(dirname "$video")")
	;;
esac

data=$(mktemp -d "${TMPDIR:-/tmp}/millrace-demo.XXXXXX")
rm -rf "$out"
mkdir -p "$out"
http=$(free_port) gossip=$(free_port) raft=$(free_port)

say "starting a peer on 127.0.0.1:$http"
bin/millrace serve --data "$data" --http "127.0.0.1:$http" --gossip "127.0.0.1:$gossip" --raft "127.0.0.1:$raft" \
	--output-root "$PWD" "${roots[@]}" "${network[@]}" >"$data/peer.log" 2>&1 &
peer=$!
for ((tries = 0; ; tries++)); do
	ready && break
	kill -0 "$peer" 2>/dev/null || die "the peer ended before it was ready"
	((tries < 300)) || die "the peer was not ready within 60 s"
	sleep 0.2
done

say "transcoding $video to $resolutions"
bin/millrace submit --server "http://127.0.0.1:$http" --key-file "$data/admin.key" --org default \
	--input "$video" --output "$out/" --resolutions "$resolutions" --wait

say "checking the result with ffprobe"
rungs=0
frames_of_all=
printf '%-8s %-12s %8s %10s\n' rung picture frames seconds
for playlist in "$out"/*p/index.m3u8; do
	[[ -s $playlist ]] || die "there is no rendition in $out"
	rung=$(basename "$(dirname "$playlist")")
	frames=$(measure "$playlist" stream=nb_read_packets)
	width=$(measure "$playlist" stream=width)
	height=$(measure "$playlist" stream=height)
	seconds=$(ffprobe -v error -show_entries format=duration -of csv=p=0 "$playlist")
	printf '%-8s %-12s %8s %10s\n' "$rung" "${width}x$height" "$frames" "$seconds"
	[[ $frames =~ ^[1-9][0-9]*$ ]] || die "$rung has no frames"
	[[ -z $frames_of_all || $frames == "$frames_of_all" ]] || die "$rung has $frames frames, another rung has $frames_of_all"
	frames_of_all=$frames
	rungs=$((rungs + 1))
done
listed=$(grep -c '^#EXT-X-STREAM-INF' "$out/video.m3u8") || die "$out/video.m3u8 lists no rendition"
[[ $listed -eq $rungs ]] || die "video.m3u8 lists $listed renditions, $rungs are there"
ffprobe -v error "$out/video.mpd" >/dev/null 2>&1 || [[ -s $out/video.mpd ]] || die "there is no $out/video.mpd"

say "stopping the peer"
kill -TERM "$peer"
wait "$peer" || die "the peer did not stop cleanly"
peer=

cat <<TEXT

Done: $rungs renditions with $frames_of_all frames each, in $out
  HLS   $out/video.m3u8
  DASH  $out/video.mpd
Play it:
  ffplay '$out/video.m3u8'        or: mpv '$out/video.m3u8', or open it in VLC
TEXT
