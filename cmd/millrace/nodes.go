package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"millrace/api/client"
)

// nodesCommand has the commands about nodes.
type nodesCommand struct {
	Show   nodesShowCommand   `cmd:"" default:"withargs" help:"List the nodes, or show one."`
	Probe  nodesProbeCommand  `cmd:"" help:"Have a node measure its devices again."`
	Remove nodesRemoveCommand `cmd:"" help:"Remove a node that is gone for good."`
}

type nodesShowCommand struct {
	remote
	ID    string `arg:"" optional:"" help:"Only this node, with all that is known of it."`
	Stale bool   `help:"What the peer knows itself, perhaps behind; also without a leader."`
}

// Run lists the nodes, or shows one.
func (c *nodesShowCommand) Run(ctx context.Context, std streams) error {
	peer, err := c.dial()
	if err != nil {
		return err
	}
	if c.ID != "" {
		node, err := peer.Node(ctx, c.ID, c.Stale)
		if err != nil {
			return err
		}
		return c.show(std, node)
	}
	nodes := []client.Node{}
	for node, err := range peer.Nodes(ctx, c.Stale) {
		if err != nil {
			return err
		}
		nodes = append(nodes, node)
	}
	if c.JSON {
		return std.writeJSON(nodes)
	}
	rows := make([][]string, len(nodes))
	for i, node := range nodes {
		rows[i] = []string{node.ID, node.Role, nodeState(node), devicesText(node), loadText(node), yesNo(node.Draining), labelsText(node), node.Version, node.Address}
	}
	return std.table([]string{"ID", "ROLE", "STATE", "DEVICES", "LOAD", "DRAINING", "LABELS", "VERSION", "ADDRESS"}, rows)
}

// show prints one node.
func (r remote) show(std streams, node client.Node) error {
	if r.JSON {
		return std.writeJSON(node)
	}
	return printNode(std, node)
}

func nodeState(node client.Node) string {
	switch {
	case !node.Alive:
		return "away"
	case node.WithinHours != nil && !*node.WithinHours:
		return "alive, outside its work hours"
	}
	return "alive"
}

// labelsText is a node's labels, and its taints as what it is only for.
func labelsText(node client.Node) string {
	texts := slices.Clone(node.Labels)
	for _, taint := range node.Taints {
		texts = append(texts, "only "+taint)
	}
	return orDash(strings.Join(texts, ", "))
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

// devicesText names a node's devices with the encoders that work, "-" while
// none are known.
func devicesText(node client.Node) string {
	var texts []string
	for _, device := range node.Devices {
		works := 0
		for _, encoder := range device.Encoders {
			if encoder.Works {
				works++
			}
		}
		name := device.Kind
		if device.Kind != "cpu" {
			name = device.Name
		}
		texts = append(texts, fmt.Sprintf("%s (%d of %d encoders)", name, works, len(device.Encoders)))
	}
	if len(texts) == 0 {
		return "-"
	}
	return strings.Join(texts, ", ")
}

// loadText is what a node does, as far as it is known.
func loadText(node client.Node) string {
	text := fmt.Sprintf("%d running", len(node.Attempts))
	if node.Load != nil {
		text += fmt.Sprintf(", %.0f frames/s, cpu %.0f%%", node.Load.FramesPerSecond, 100*node.Load.CPU)
	}
	return text
}

func printNode(std streams, node client.Node) error {
	out := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(out, "%s\t%s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	line("id", "%s", node.ID)
	line("role", "%s", node.Role)
	line("state", "%s", nodeState(node))
	line("draining", "%s", yesNo(node.Draining))
	line("labels", "%s", orDash(strings.Join(node.Labels, ", ")))
	if len(node.Taints) > 0 {
		line("taints", "%s: only jobs that require all of this come here", strings.Join(node.Taints, ", "))
	}
	if node.WorkHours != "" {
		line("work hours", "%s", node.WorkHours)
	}
	line("version", "%s", orDash(node.Version))
	line("api", "%s", orDash(node.Address))
	line("raft", "%s", orDash(node.RaftAddress))
	line("gossip", "%s", orDash(node.GossipAddress))
	if node.Measured != nil {
		line("measured", "%s", localTime(*node.Measured))
	}
	for _, device := range node.Devices {
		line("device", "%s %s, driver %s", device.ID, device.Name, orDash(device.Driver))
		for _, encoder := range device.Encoders {
			line("", "%s", encoderText(encoder))
		}
		for _, decoder := range device.Decoders {
			line("", "%s", decoderText(decoder))
		}
	}
	if load := node.Load; load != nil {
		line("load", "%s; %d MiB memory and %d MiB disk free; told %s", loadText(node), load.MemoryFree>>20, load.DiskFree>>20, localTime(load.Seen))
	}
	for _, held := range node.Attempts {
		line("attempt", "%s", heldText(held))
	}
	return out.Flush()
}

// encoderText is one line about an encoder.
func encoderText(encoder client.Encoder) string {
	name := encoder.Name
	if encoder.TenBit {
		name += " (10 bit too)"
	}
	text := trialText(name, encoder.Works, encoder.Reason, encoder.FramesPerSecond)
	for _, rung := range slices.Sorted(maps.Keys(encoder.JoulesPerFrame)) {
		text += fmt.Sprintf(", %s %.3g J/frame", rung, encoder.JoulesPerFrame[rung])
	}
	return text
}

// decoderText is one line about a decoder.
func decoderText(decoder client.Decoder) string {
	name := "decoding " + decoder.Codec + " " + decoder.PixelFormat
	if decoder.API != "" {
		name += " by " + decoder.API
	}
	return trialText(name, decoder.Works, decoder.Reason, decoder.FramesPerSecond)
}

// trialText is how a trial ended.
func trialText(name string, works bool, reason *string, framesPerSecond map[string]float64) string {
	switch {
	case !works && reason != nil:
		return name + " doesn't work: " + *reason
	case !works:
		return name + " doesn't work, for no reason that is known"
	}
	texts := []string{name + " works"}
	for _, rung := range slices.Sorted(maps.Keys(framesPerSecond)) {
		texts = append(texts, fmt.Sprintf("%s %.0f frames/s", rung, framesPerSecond[rung]))
	}
	return strings.Join(texts, ", ")
}

// heldText is an attempt on one line.
func heldText(held client.HeldAttempt) string {
	text := fmt.Sprintf("job %s of %s: %s #%d on %s", held.Job, held.Organisation, held.Task, held.Attempt, held.Device)
	if held.Encoder != "" {
		text += " " + held.Encoder
	}
	text += " since " + localTime(held.Since)
	if held.Stopping {
		text += ", is being stopped"
	}
	return text
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func localTime(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

type nodesProbeCommand struct {
	remote
	ID string `arg:"" help:"The node's id."`
}

// Run has the node measure its devices.
func (c *nodesProbeCommand) Run(ctx context.Context, std streams) error {
	peer, err := c.dial()
	if err != nil {
		return err
	}
	node, err := peer.Probe(ctx, c.ID)
	switch {
	case err != nil:
		return err
	case c.JSON:
		return std.writeJSON(node)
	}
	_, err = fmt.Fprintf(std.out, "node %s measures its devices; millrace nodes %s shows what it found\n", node.ID, node.ID)
	return err
}

type nodesRemoveCommand struct {
	remote
	ID    string `arg:"" help:"The node's id."`
	Force bool   `help:"Remove it even if it is up."`
}

// Run removes the node.
func (c *nodesRemoveCommand) Run(ctx context.Context, std streams) error {
	peer, err := c.dial()
	if err != nil {
		return err
	}
	if err := peer.RemoveNode(ctx, c.ID, c.Force); err != nil {
		return err
	}
	if c.JSON {
		return std.writeJSON(map[string]string{"removed": c.ID})
	}
	_, err = fmt.Fprintf(std.out, "node %s is removed; it can come back only with an empty data folder\n", printable(c.ID))
	return err
}
