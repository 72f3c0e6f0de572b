package ffmpeg

import "millrace/job"

// hardwareSigns are what ffmpeg and the drivers below it say when a device can't
// do what it should. The words are those of libavcodec's nvenc.c, nvenc_hevc.c,
// nvdec.c, cuviddec.c, qsv.c, qsvenc.c, vaapi_encode.c and vaapi_decode.c, of
// libavutil's hwcontext_cuda.c, hwcontext_vaapi.c and hwcontext_qsv.c, and of
// ffmpeg itself, versions 4.4 to 7.1; NVENC's and CUDA's errors come with their
// names or numbers, which are stable.
//
// The code says what is done about it, see hwaccel.RemedyFor. First comes the
// cause and then what follows from it: nvenc says "No capable devices found"
// after every other complaint.
var hardwareSigns = []sign{
	// The driver, before what it does.
	{line(`Driver does not support the required nvenc API version\. Required: (\S+) Found: ([\d.]+)`), job.HardwareDriver, "the NVIDIA driver is too old for this ffmpeg: its NVENC is version $2, and $1 is needed"},
	{line(`[Mm]inimum required Nvidia driver for nvenc is (\S+) or newer`), job.HardwareDriver, "the NVIDIA driver is too old for this ffmpeg, which needs driver $1 or newer"},
	{line(`Cannot load (?:optional )?(libcuda|libnvcuvid|libnvidia-encode|nvcuda|nvcuvid|nvEncodeAPI)\S*`), job.HardwareDriver, "the NVIDIA driver's library $1 can't be loaded: the driver isn't installed, or the container lacks the “video” capability (NVIDIA_DRIVER_CAPABILITIES)"},
	{line(`CUDA_ERROR_SYSTEM_DRIVER_MISMATCH|CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE|CUDA_ERROR_INSUFFICIENT_DRIVER`), job.HardwareDriver, "the NVIDIA driver's library and its kernel module have different versions: restart the machine, or reload the module"},
	{line(`InitializeEncoder failed: invalid version \(15\)|OpenEncodeSessionEx failed: invalid version \(15\)`), job.HardwareDriver, "the NVIDIA driver doesn't fit this ffmpeg (invalid version)"},
	{line(`No VA display found for (?:device (\S+?)|any default device)\.`), job.HardwareDriver, "VAAPI can't open the device $1: it isn't there, this user may not open it, or the VA driver isn't installed"},
	{line(`Failed to initialise VAAPI connection: (.*)`), job.HardwareDriver, "the VAAPI driver can't be used ($1): it isn't installed, or is not for this GPU"},

	// Sessions. A GeForce says the one or the other of these by its driver's age.
	{line(`OpenEncodeSessionEx failed: (out of memory \(10\)|incompatible client key \(21\))`), job.HardwareSessions, "the driver opens no more encode sessions on this host: $1"},

	{line(`OpenEncodeSessionEx failed: (?:unsupported device \(2\)|no encode device \(1\))`), job.HardwareUnsupported, "this GPU has no encoder"},
	{line(`OpenEncodeSessionEx failed: (?:device does not exist \(5\)|invalid device \(4\)|invalid encoder device \(3\))`), job.HardwareLost, "the GPU is gone: NVENC says that the device doesn't exist"},

	// The device is gone or faulty.
	{line(`(CUDA_ERROR_NO_DEVICE|CUDA_ERROR_INVALID_DEVICE|CUDA_ERROR_DEVICE_UNAVAILABLE|CUDA_ERROR_NOT_PERMITTED|CUDA_ERROR_OPERATING_SYSTEM)`), job.HardwareLost, "the GPU can't be reached ($1): it is lost, or this process may not use it"},
	{line(`(CUDA_ERROR_ECC_UNCORRECTABLE|CUDA_ERROR_HARDWARE_STACK_ERROR|CUDA_ERROR_ILLEGAL_INSTRUCTION|CUDA_ERROR_ILLEGAL_ADDRESS|CUDA_ERROR_LAUNCH_FAILED|CUDA_ERROR_LAUNCH_TIMEOUT|CUDA_ERROR_NVLINK_UNCORRECTABLE|CUDA_ERROR_EXTERNAL_DEVICE|CUDA_ERROR_CONTEXT_IS_DESTROYED)`), job.HardwareLost, "the GPU has had a fault ($1)"},
	{line(`: (device lost \(-13\)|device failed \(-17\)|GPU [Hh]ang \(-21\))`), job.HardwareLost, "the GPU has stopped working ($1)"},
	{line(`Failed to sync surface \S+: \S+ \((.*)\)`), job.HardwareLost, "the GPU has stopped working ($1)"},

	{line(`CUDA_ERROR_OUT_OF_MEMORY`), job.HardwareMemory, "the GPU's memory is full"},
	{line(`failed to allocate memory \(-4\)|\(resource allocation failed\)`), job.HardwareMemory, "the GPU's memory, or what its driver may use of it, is full"},
	{line(`(?:CreateInputBuffer|CreateBitstreamBuffer|InitializeEncoder|RegisterResource|MapInputResource|EncodePicture|CreateOutputBitstreamBuffer)[^:]*: out of memory \(10\)`), job.HardwareMemory, "the GPU's memory is full"},

	// What the device has no circuits for.
	{line(`Hardware is lacking required capabilities|Codec \S+ is not supported\.`), job.HardwareUnsupported, "the device doesn't decode this kind of source"},
	{line(`Video (width|height) (\d+) not within range from (\d+) to (\d+)`), job.HardwareUnsupported, "the device doesn't decode pictures with a $1 of $2, only $3 to $4"},
	{line(`Video macroblock count \d+ exceeds maximum of \d+`), job.HardwareUnsupported, "the source's pictures are too large for the device's decoder"},
	{line(`No decoder surfaces left`), job.HardwareUnsupported, "the device's decoder ran out of surfaces"},
	{line(`No support for codec (\S+) profile (-?\d+)`), job.HardwareUnsupported, "the device doesn't decode $1 of profile $2"},
	{line(`Failed to create decode (?:configuration|context): \S+ \((.*)\)`), job.HardwareUnsupported, "the device doesn't decode this kind of source: $1"},
	{line(`Failed setup for format \S+: hwaccel initialisation returned error|hwaccel requested for input stream .* but cannot be initialized`), job.HardwareUnsupported, "the device doesn't decode this source"},
	{line(`cuvidCreateDecoder\(.* failed -> (CUDA_ERROR_\w+)`), job.HardwareUnsupported, "the device's decoder doesn't take this source ($1)"},
	{line(`(10 bit encode|YUV444P|Lossless encoding|Interlaced encoding|B frames as references|Max B-frames) (?:is |are )?not supported`), job.HardwareUnsupported, "the device's encoder lacks what was asked for ($1)"},
	{line(`Provided device doesn't support required NVENC features`), job.HardwareUnsupported, "the GPU's encoder lacks what was asked for"},
	{line(`(InitializeEncoder failed: (?:unsupported param \(12\)|invalid param \(8\)))`), job.HardwareUnsupported, "the GPU's encoder doesn't take these settings ($1)"},
	{line(`No usable encoding (profile|entrypoint) found`), job.HardwareUnsupported, "the device has no encoder for this codec (no $1)"},
	{line(`Driver does not support (?:any RC mode compatible|\S+ RC mode)`), job.HardwareUnsupported, "the device's driver lacks the rate control that was asked for"},
	{line(`Failed to create encode pipeline (?:configuration|context): \S+ \((.*)\)`), job.HardwareUnsupported, "the device's encoder doesn't take these settings: $1"},
	{line(`Selected ratecontrol mode is unsupported|Low power mode is unsupported`), job.HardwareUnsupported, "the Intel GPU lacks the rate control that was asked for"},
	{line(`Impossible to convert between the formats supported by the filter`), job.HardwareUnsupported, "the pictures are not where the filters look for them: the source was decoded in software, or the device lacks its pixel format"},
	{line(`Error initializing the (?:encoder|decoder|MFX video decoder): (.*)`), job.HardwareUnsupported, "the Intel GPU doesn't take this: $1"},

	// Anything else that a device can say.
	{line(`Error (?:initiali[sz]ing an internal|creating a) MFX session: (.*)`), job.HardwareDriver, "the Intel GPU can't be used ($1): there is none, or its media driver isn't installed"},
	{line(`OpenEncodeSessionEx failed: (.*)`), job.HardwareUnavailable, "the GPU opened no encode session: $1"},
	{line(`(CUDA_ERROR_\w+)`), job.HardwareUnavailable, "the GPU can't be used ($1)"},
	{line(`No capable devices found|No NVENC capable devices`), job.HardwareUnavailable, "no GPU here has an encoder that does what was asked for"},
	{line(`Device creation failed: (.*)`), job.HardwareUnavailable, "the device can't be used: $1"},
	{line(`Unknown encoder '(\S+)'`), job.HardwareUnavailable, "this ffmpeg has no encoder $1"},
}
