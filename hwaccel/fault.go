package hwaccel

import (
	"context"
	"time"

	"millrace/job"
)

// faultPause is the wait before a device is tried on which attempts failed again right
// after a trial that worked: trials don't show what is wrong with it, so it should cost
// few attempts. It doubles with each such fault, up to breakerMaxPause. The first fault
// may be a driver's hiccup: then the trial comes at once.
const faultPause = 15 * time.Second

// fault takes in that an attempt has failed since its device is lost or broken. Whatever
// else works on it won't either, so all of it is out until a trial has worked: that of
// the encoder first, which takes a second or two where all encoders take up to a minute.
// i.mu is held.
func (i *Inventory) fault(s *state, u *Use, failure *job.Failure, now time.Time) {
	if s.lost != "" || s.faulty || u.began.Before(s.sound) {
		return // that is known, or was over before
	}
	s.faults++
	i.log.Warn("device fails, and is tried before it gets more work", "device", s.sighting.Device.ID,
		"encoder", u.encoder, "code", failure.Code, "reason", failure.Message, "faults", s.faults)
	need, due := quickTrial, now
	if s.trial != noTrial {
		need = freshTrial // more than the encoder is in question
	}
	if s.faults > 1 {
		due = now.Add(min(faultPause<<min(s.faults-2, 10), breakerMaxPause))
	}
	s.trial, s.due, s.pause, s.faulty, s.suspect = need, due, trialPause, true, u.encoder
	i.tell()
}

// tryQuickly tries the encoder with which a device failed; if it fails again, all of the
// device is tried next. The error is the context's.
func (i *Inventory) tryQuickly(ctx context.Context, s *state, sighting Sighting) error {
	i.mu.Lock()
	encoder := s.suspect
	i.mu.Unlock()
	result, err := i.config.Trials.Encoder(ctx, sighting.Device, sighting.Room, encoder)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	reason := whyNot(result, err)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.log.Info("encoder tried after failures", "device", sighting.Device.ID, "encoder", encoder, "works", reason == "", "reason", reason)
	switch {
	case s.lost != "" || s.trial != noTrial: // there is something else to be tried
	case reason == "":
		s.faulty, s.sound = false, time.Now()
	default:
		s.trial, s.due = freshTrial, time.Now()
	}
	i.tell()
	return nil
}

// whyNot is why an encoder's trial didn't work; empty if it did.
func whyNot(result EncoderProfile, err error) string {
	switch {
	case err != nil:
		return err.Error()
	case !result.Works:
		return result.Reason
	}
	return ""
}
