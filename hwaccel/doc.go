// Package hwaccel knows the things that encode: which devices a machine has,
// which encoders really work on them and how fast, and the arguments that each
// encoder needs.
//
// A listed encoder is not a working one: ffmpeg names h264_nvenc on machines
// without any GPU. So discovery says what might work and a trial encode says
// what does:
//
//	var machine hwaccel.Machine
//	scan := machine.Scan(ctx)
//	trials := hwaccel.Trials{Tools: tools, Cache: file, Scratch: dir}
//	profile, err := trials.Profile(ctx, scan.Devices[0].Device, scan.Devices[0].Room)
//
// A node's devices change while it runs: drivers are replaced, GPUs fall off the
// bus, other programs take up room. An [Inventory] watches them, has trials made
// where they are needed, and says at every moment what can be used:
//
//	inventory := hwaccel.NewInventory(hwaccel.InventoryConfig{Machine: &machine, Trials: trials})
//	ctx, use := inventory.Begin(ctx, device, encoder, sessions, threads) // ctx ends if the device is lost
//	joules := use.End(ctx, failure, stopped)                             // and the inventory has learned from it
//
// The [Profile] is kept on disk until device, driver or ffmpeg change. One table
// (rows_*.go) has a [Row] for each encoder; adding an encoder is adding a row,
// and a test checks each option in it against what the installed ffmpeg declares.
package hwaccel
