package main

import (
	"context"
	"fmt"
)

// drainCommand gives a node nothing new to do.
type drainCommand struct {
	remote
	ID string `arg:"" help:"The node's id."`
}

// Run drains the node. It doesn't wait: what runs may take long.
func (c *drainCommand) Run(ctx context.Context, std streams) error {
	peer, err := c.dial()
	if err != nil {
		return err
	}
	node, err := peer.Drain(ctx, c.ID)
	switch {
	case err != nil:
		return err
	case c.JSON:
		return std.writeJSON(node)
	}
	_, err = fmt.Fprintf(std.out, "node %s gets nothing new; %d attempts still run there\n", node.ID, len(node.Attempts))
	return err
}

// resumeCommand lets a drained node work again.
type resumeCommand struct {
	remote
	ID string `arg:"" help:"The node's id."`
}

// Run resumes the node.
func (c *resumeCommand) Run(ctx context.Context, std streams) error {
	peer, err := c.dial()
	if err != nil {
		return err
	}
	node, err := peer.Resume(ctx, c.ID)
	switch {
	case err != nil:
		return err
	case c.JSON:
		return std.writeJSON(node)
	}
	_, err = fmt.Fprintf(std.out, "node %s takes work again\n", node.ID)
	return err
}
