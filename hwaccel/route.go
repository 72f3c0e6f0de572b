package hwaccel

// Pictures is what a route must know of a source's pictures.
type Pictures struct {
	Codec       string // ffmpeg's name
	PixelFormat string // ffmpeg's name
	Interlaced  bool
	// InMemory says that something must be done to each picture that only
	// filters in memory do right: tone-mapping, another colour matrix or range,
	// turning it upright.
	InMemory bool
	// Turned pictures are turned upright by ffmpeg before any filter of ours, in
	// memory: a device must not decode them.
	Turned bool
}

// Route says where the steps of an encode happen. There are these:
//
//	software     all in memory
//	whole        decode, scale and encode on the device
//	downloaded   decode and scale on the device, encode in software: for
//	             devices with a decoder and no encoder (A100, H100, H200)
//	uploaded     decode in software, scale and encode on the device: for codecs
//	             that the device's decoder lacks
//	prepared     decode anywhere, tone-map or convert and make the first rung
//	             in memory, scale on and encode on the device
//
// and those that come of a build of ffmpeg that has no scaler for the device.
type Route struct {
	Encoder Row
	// Device is the one that the run is pinned to, driven by API; for the CPU
	// alone API is NoAPI.
	Device Device
	API    API
	// Decoder is the device's; its API is NoAPI where decoding is software's.
	Decoder Decoder
	// Deinterlacer is the device's filter, empty where it is memory's.
	Deinterlacer string
	// ScaleOnDevice is for all rungs, or, with InMemory, for all but the first.
	ScaleOnDevice bool
	InMemory      bool
	// Format is what pictures of the source are on the device or go there as.
	Format string
	// Without names the features that the device refuses.
	Without []string
}

// Decodes says whether the device decodes.
func (r Route) Decodes() bool { return r.Decoder.API != NoAPI }

// Encodes says whether the device encodes.
func (r Route) Encodes() bool { return r.Encoder.API != NoAPI }

// Surface is how pictures live on the route's device.
func (r Route) Surface() Surface { return surfaces[r.API] }

// Pin binds the run to the device.
func (r Route) Pin() Pin { return r.Device.Pin(r.API) }

// Software is the route that needs no device but the CPU.
func Software(row Row) Route { return Route{Encoder: row} }

// Choose finds the fastest route for an encoder by what the trials of a device
// showed. profile is of the encoder's device; for an encoder in software it is
// of a device that may help it to decode, or the zero Profile.
//
// With plain, the device decodes nothing and filters nothing: the encoder alone
// is used. It is what to try after a failure of unknown cause.
func Choose(row Row, pictures Pictures, profile Profile, plain bool) Route {
	route := Route{Encoder: row, Device: profile.Device, InMemory: pictures.InMemory}
	if row.API == NoAPI && (plain || profile.Device.Kind == CPU || profile.Device.Kind == "") {
		return Software(row)
	}
	tried, _ := profile.Encoder(row.Encoder)
	route.Without = tried.Without
	route.API = row.API
	if route.API == NoAPI {
		route.API = profile.decodingAPI(pictures)
		if route.API == NoAPI {
			return Software(row)
		}
	}
	if format := deviceFormats[pictures.PixelFormat]; format != "" {
		route.Format = format
	} else {
		route.Format = row.Format(false)
		if row.API == NoAPI {
			route.Format = deviceFormats[eightBit]
		}
	}
	if plain {
		return route
	}
	surface := surfaces[route.API]
	if d, found := decoderFor(route.API, pictures.Codec, pictures.PixelFormat); found && !pictures.Turned && profile.Decodes(route.API, pictures.Codec, pictures.PixelFormat) {
		route.Decoder = d
	}
	route.ScaleOnDevice = profile.Filters(surface.Scaler)
	if route.Decodes() && pictures.Interlaced {
		for _, f := range surface.Deinterlacers {
			if profile.Filters(f) {
				route.Deinterlacer = f.String()
				break
			}
		}
	}
	if !route.Encodes() && !route.Decodes() {
		return Software(row)
	}
	if !route.Encodes() && pictures.InMemory {
		// The first rung is made in memory and is encoded there: the others
		// would go to the device and back for nothing.
		route.ScaleOnDevice = false
	}
	return route
}

// decodingAPI is the way by which the device decodes the pictures.
func (p Profile) decodingAPI(pictures Pictures) API {
	for _, api := range apisOf(p.Device) {
		if p.Decodes(api, pictures.Codec, pictures.PixelFormat) {
			return api
		}
	}
	return NoAPI
}
