package hwaccel

import "strings"

// absentID begins the ID of what stands for devices that aren't there.
const absentID = "none:"

// Absent has a profile for each way to drive a device (NVENC, Quick Sync,
// VA-API) for which the machine has no device at all: with every encoder that it
// would have, and why none works. The device in it is not a real one: its ID is
// "none:" and the way, and it is unusable.
func Absent(scan Scan) []Profile {
	var list []Profile
	for _, a := range []struct {
		api    API
		kind   DeviceKind
		vendor Vendor
		name   string
		needs  string
	}{
		{CUDA, NVIDIA, VendorNVIDIA, "no NVIDIA GPU", ""},
		{QSV, RenderNode, VendorIntel, "no Intel GPU", "Quick Sync needs an Intel GPU: "},
		{VAAPI, RenderNode, "", "no render node", "VA-API needs an Intel or AMD GPU: "},
	} {
		if drivenBy(scan, a.api) {
			continue
		}
		reason := a.needs + "this machine's GPUs are of another make"
		for _, missing := range scan.Missing {
			if missing.Kind == a.kind {
				reason = a.needs + missing.Reason
			}
		}
		profile := Profile{Device: Device{ID: absentID + string(a.api), Kind: a.kind, Vendor: a.vendor, Name: a.name, Unusable: reason}}
		for _, row := range rows {
			if row.API == a.api {
				profile.Encoders = append(profile.Encoders, EncoderProfile{Encoder: row.Encoder, Reason: reason})
			}
		}
		list = append(list, profile)
	}
	return list
}

func drivenBy(scan Scan, api API) bool {
	for _, sighting := range scan.Devices {
		for _, own := range apisOf(sighting.Device) {
			if own == api {
				return true
			}
		}
	}
	return false
}

// Absent says whether the device only stands for one that isn't there.
func (d Device) Absent() bool { return strings.HasPrefix(d.ID, absentID) }
