package simulator

import (
	"fmt"
	"math"
	"strings"

	"millrace/job"
	"millrace/scheduler"
)

// truth is how long an attempt really takes, in seconds.
func (s *simulation) truth(m *machine, work scheduler.Work, frames int64, a scheduler.Assignment, u *upload) (float64, error) {
	option, err := s.option(m, work, a.Device, a.Encoder)
	if err != nil {
		return 0, err
	}
	picture := option.SecondsPerFrame * u.factor(option.Encoder)
	if work.Kind == job.EncodeTask {
		sigma := noise(option.Encoder)
		picture *= lognormal(s.random, math.Exp(-sigma*sigma/2), sigma) // 1 on average
	}
	option.SecondsPerFrame = picture / m.speed
	return option.Seconds(frames, a.Threads) / a.Pace, nil
}

// factor is how much harder than average an upload is for an encoder.
func (u *upload) factor(encoder string) float64 {
	if encoder == "libx264" {
		return u.clip.hardness()
	}
	return 1
}

// noise is how much chunks of one upload differ: software notices what is in
// the pictures.
func noise(encoder string) float64 {
	if strings.HasPrefix(encoder, "lib") {
		return 0.15
	}
	return 0.05
}

func (s *simulation) option(m *machine, work scheduler.Work, device, encoder string) (scheduler.Option, error) {
	key := optionKey{m.kind, work}
	list, known := s.options[key]
	if !known {
		if s.menus[m.kind] == nil {
			s.menus[m.kind] = scheduler.NewMenu(m.node)
		}
		list = s.menus[m.kind].Options(work)
		s.options[key] = list
	}
	for _, option := range list {
		if option.Device == device && option.Encoder == encoder {
			return option, nil
		}
	}
	return scheduler.Option{}, fmt.Errorf("%s was given %s by %q, which %s can't do", m.node.ID, work.Kind, encoder, device)
}
