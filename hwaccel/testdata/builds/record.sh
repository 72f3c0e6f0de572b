#!/bin/sh
# Records what an ffmpeg declares of what the tables name: record.sh FFMPEG > NAME.txt
# Descriptions are left out: only names, types and values are compared.
set -eu
ffmpeg=${1:?which ffmpeg}
export LC_ALL=C
ask() {
	echo "### $*"
	# shellcheck disable=SC2086 # $ffmpeg may be "chroot DIR ffmpeg"
	$ffmpeg -hide_banner "$@" 2>/dev/null | sed -E 's/[[:space:]]+$//'
}
ask -version | sed -n 1,2p
ask -hwaccels
ask -encoders | grep -E '^###|^ V.*(264|265|hevc|av1|AV1)' | cut -c1-32 | sed 's/$/ x/;/^###/s/ x$//'
ask -decoders | grep -E '^###| (h264|hevc|av1|libdav1d|vp8|vp9|mpeg2video|mpeg4|mjpeg|vc1|[a-z0-9]+_(qsv|cuvid)) ' | cut -c1-32 | sed 's/$/ x/;/^###/s/ x$//'
ask -filters | grep -E '^###|(cuda|qsv|vaapi|npp|hwupload|hwdownload|yadif|bwdif|zscale|tonemap| scale | ssim | fps | tpad | trim | setpts | split | setsar | format )' | cut -c1-40 | sed 's/$/ x/;/^###/s/ x$//'
ask -h full | awk '/^###/ {print; next} /^[^ ]/ {inside = /^AVCodecContext AVOptions/; if (inside) print} inside && /^  -/' | cut -c1-48
for encoder in libx264 libx265 libsvtav1 \
	h264_nvenc hevc_nvenc av1_nvenc h264_qsv hevc_qsv av1_qsv h264_vaapi hevc_vaapi av1_vaapi; do
	ask -h "encoder=$encoder" | grep -E '^###|^ +-?[A-Za-z0-9_-]+ +(<|-?[0-9]+ )|Supported' | cut -c1-48
done
for filter in scale fps scale_cuda yadif_cuda bwdif_cuda scale_qsv vpp_qsv deinterlace_qsv scale_vaapi deinterlace_vaapi hwupload hwdownload; do
	ask -h "filter=$filter" | grep -E '^###|^ +-?[A-Za-z0-9_-]+ +(<|-?[0-9]+ )' | cut -c1-48
done
