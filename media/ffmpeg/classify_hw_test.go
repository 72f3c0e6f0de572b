package ffmpeg

import (
	"strings"
	"testing"

	"millrace/job"
)

// Those logs marked "here" were printed by ffmpeg 5.1 on a machine without any
// GPU. The others are put together from the format strings of ffmpeg's sources
// and of the library on that machine, with the names and numbers that NVENC, CUDA,
// libva and oneVPL give to their errors: none was seen on a real device by us.
func TestWhatDevicesSayIsClassified(t *testing.T) {
	for _, c := range []struct {
		name, log string
		code      job.Code
		words     string
	}{
		{"no driver (here)", "[h264_nvenc @ 0x563f] [error] Cannot load libcuda.so.1\n[error] Error initializing output stream 0:0 -- Error while opening encoder for output stream #0:0 - maybe incorrect parameters such as bit_rate, rate, width or height\n", job.HardwareDriver, "library libcuda can't be loaded"},
		{"no driver, by a device (here)", "[AVHWDeviceContext @ 0x5556] [error] Cannot load libcuda.so.1\n[AVHWDeviceContext @ 0x5556] [error] Could not dynamically load CUDA\n[error] Device creation failed: -1.\n", job.HardwareDriver, "libcuda"},
		{"no Intel GPU (here)", "[h264_qsv @ 0x5609] [error] Error initializing an internal MFX session: unsupported (-3)\n", job.HardwareDriver, "unsupported (-3)"},
		{"no Intel GPU, oneVPL", "[AVHWDeviceContext @ 0x5] [error] Error creating a MFX session: -9.\n[error] Device creation failed: -1313558101.\n", job.HardwareDriver, "-9."},
		{"no render node (here)", "[AVHWDeviceContext @ 0x55b5] [error] No VA display found for device /dev/dri/renderD128.\n[error] Device creation failed: -22.\n[error] Failed to set value '/dev/dri/renderD128' for option 'vaapi_device': Invalid argument\n", job.HardwareDriver, "/dev/dri/renderD128"},
		{"no VA driver", "[AVHWDeviceContext @ 0x5] [error] Failed to initialise VAAPI connection: -1 (unknown libva error).\n[error] Device creation failed: -5.\n", job.HardwareDriver, "unknown libva error"},
		{"old driver", "[h264_nvenc @ 0x5] [error] Driver does not support the required nvenc API version. Required: 13.0 Found: 12.2\n[h264_nvenc @ 0x5] [error] The minimum required Nvidia driver for nvenc is 570.0 or newer\n", job.HardwareDriver, "its NVENC is version 12.2, and 13.0 is needed"},
		{"driver upgraded under us", "[AVHWDeviceContext @ 0x5] [error] cu->cuInit(0) failed -> CUDA_ERROR_SYSTEM_DRIVER_MISMATCH: system has unsupported display driver / cuda driver combination\n", job.HardwareDriver, "different versions"},
		{"no video capability", "[h264 @ 0x5] [error] Cannot load libnvcuvid.so.1\n[h264 @ 0x5] [error] Failed loading nvcuvid.\n", job.HardwareDriver, "video"},

		{"sessions", "[h264_nvenc @ 0x5] [error] OpenEncodeSessionEx failed: out of memory (10): (no details)\n[h264_nvenc @ 0x5] [error] No capable devices found\n", job.HardwareSessions, "out of memory (10)"},
		{"sessions, newer driver", "[h264_nvenc @ 0x5] [error] OpenEncodeSessionEx failed: incompatible client key (21): (no details)\n", job.HardwareSessions, "incompatible client key (21)"},

		{"no NVENC on the chip", "[h264_nvenc @ 0x5] [error] OpenEncodeSessionEx failed: unsupported device (2): (no details)\n[h264_nvenc @ 0x5] [error] No capable devices found\n", job.HardwareUnsupported, "has no encoder"},
		{"NVENC without AV1", "[av1_nvenc @ 0x5] [warning] Codec not supported\n[av1_nvenc @ 0x5] [error] No capable devices found\n", job.HardwareUnavailable, "what was asked for"},
		{"a feature that NVENC lacks", "[hevc_nvenc @ 0x5] [fatal] Provided device doesn't support required NVENC features\n", job.HardwareUnsupported, ""},

		{"lost", "[AVHWDeviceContext @ 0x5] [error] cu->cuInit(0) failed -> CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected\n[error] Device creation failed: -542398533.\n", job.HardwareLost, "CUDA_ERROR_NO_DEVICE"},
		{"ECC", "[h264_nvenc @ 0x5] [error] cu->cuCtxPushCurrent(ctx) failed -> CUDA_ERROR_ECC_UNCORRECTABLE: uncorrectable ECC error encountered\n", job.HardwareLost, "ECC"},
		{"hang of an Intel GPU", "[h264_qsv @ 0x5] [error] Error during encoding: GPU Hang (-21)\n", job.HardwareLost, "GPU Hang"},
		{"hang under VAAPI", "[h264_vaapi @ 0x5] [error] Failed to sync surface 0x4: 1 (operation failed).\n", job.HardwareLost, "operation failed"},

		{"memory", "[AVHWDeviceContext @ 0x5] [error] cu->cuCtxCreate(&hwctx->cuda_ctx, desired_flags, hwctx->internal->cuda_device) failed -> CUDA_ERROR_OUT_OF_MEMORY: out of memory\n[error] Device creation failed: -542398533.\n", job.HardwareMemory, "memory is full"},
		{"memory of the decoder", "[h264 @ 0x5] [error] decoder->cvdl->cuvidCreateDecoder(&decoder->decoder, params) failed -> CUDA_ERROR_OUT_OF_MEMORY: out of memory\n", job.HardwareMemory, ""},
		{"memory of the encoder", "[h264_nvenc @ 0x5] [error] CreateInputBuffer failed: out of memory (10): (no details)\n", job.HardwareMemory, ""},

		{"10-bit H.264", "[h264 @ 0x5] [error] Hardware is lacking required capabilities\n[h264 @ 0x5] [error] Failed setup for format cuda: hwaccel initialisation returned error.\n", job.HardwareUnsupported, "doesn't decode"},
		{"8K", "[h264 @ 0x5] [error] Video width 8192 not within range from 48 to 4096\n", job.HardwareUnsupported, "width of 8192, only 48 to 4096"},
		{"surfaces", "[h264 @ 0x5] [error] No decoder surfaces left\n", job.HardwareUnsupported, "surfaces"},
		{"decoder refused", "[hevc @ 0x5] [error] decoder->cvdl->cuvidCreateDecoder(&decoder->decoder, params) failed -> CUDA_ERROR_NOT_SUPPORTED: operation not supported\n", job.HardwareUnsupported, "CUDA_ERROR_NOT_SUPPORTED"},
		{"no entry point", "[av1_vaapi @ 0x5] [error] No usable encoding profile found.\n", job.HardwareUnsupported, "no profile"},
		{"rate control", "[h264_vaapi @ 0x5] [error] Driver does not support QVBR RC mode (supported modes: CQP, CBR, VBR).\n", job.HardwareUnsupported, "rate control"},
		{"QSV settings", "[hevc_qsv @ 0x5] [error] Error initializing the encoder: invalid video parameters (-15)\n", job.HardwareUnsupported, "invalid video parameters (-15)"},
		{"decoded in software", "[error] Impossible to convert between the formats supported by the filter 'graph 0 input from stream 0:0' and the filter 'auto_scale_0'\n", job.HardwareUnsupported, "in software"},

		{"whatever else", "[h264_nvenc @ 0x5] [error] OpenEncodeSessionEx failed: generic error (20): (no details)\n", job.HardwareUnavailable, "generic error (20)"},
		{"an unknown error of CUDA", "[AVHWDeviceContext @ 0x5] [error] cu->cuInit(0) failed -> CUDA_ERROR_UNKNOWN: unknown error\n", job.HardwareUnavailable, "CUDA_ERROR_UNKNOWN"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := Classify(c.log)
			if f == nil || f.Code != c.code || !strings.Contains(f.Message, c.words) {
				t.Errorf("got %v, want %q with %q", f, c.code, c.words)
			}
		})
	}
}

func TestNoFaultOfADeviceIsBlamedOnTheSource(t *testing.T) {
	for _, s := range hardwareSigns {
		if info := s.code.Info(); info.Blame != job.BlameNode {
			t.Errorf("%s: %s is blamed on %s: the job would end at once", s.pattern, s.code, info.Blame)
		}
	}
}
