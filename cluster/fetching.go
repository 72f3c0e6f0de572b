package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// Profiles are fetched by calls, so that a large one costs gossip nothing. Who
// lacks many asks any peer for many at once; who lacks a few asks their owners
// first. Both sides keep to a budget, so that a thousand peers that come up
// together take some minutes rather than the network.

const (
	// fetchBytesPerSecond is what a peer fetches, and what it hands out, over
	// time; fetchBurst may go at once, so that small clusters never wait.
	fetchBytesPerSecond = 16 << 10
	fetchBurst          = 1 << 20
	// maxAsked bounds the profiles asked for in one call, and handedOut the bytes
	// of its answer.
	maxAsked  = 256
	handedOut = 4 * MaxProfileBytes
	// fewWanted is how many are fetched one by one from their owners.
	fewWanted = 4
	// maxTries is how often a profile is asked for; the next push/pull that tells
	// of it begins anew.
	maxTries     = 8
	firstBackoff = 250 * time.Millisecond
	maxBackoff   = 10 * time.Second
	// haste is the mean time, for each member, by which fetches are put off, so
	// that not all come at once.
	haste = 5 * time.Millisecond
	// fetchTimeout bounds one call.
	fetchTimeout = 3 * time.Second
)

// want is a profile that is to be fetched.
type want struct {
	edition edition // this one or a newer one; 0: any
	tries   int
	after   time.Time
}

// want notes that an edition exists, and says whether that was news. The caller
// holds s.mu.
func (s *shares) want(id string, e edition) bool {
	if id == s.self || e != 0 && e <= s.issues[id].profileEdition {
		return false
	}
	if w := s.wanted[id]; w != nil && w.edition >= e {
		return false
	}
	s.wanted[id] = &want{edition: e, after: s.now().Add(rand.N(time.Duration(len(s.issues)) * 2 * haste))}
	s.rouse()
	return true
}

// profileRequest asks for profiles.
type profileRequest struct {
	Wanted []profileWanted `json:"wanted"`
}

type profileWanted struct {
	ID      string  `json:"id"`
	Edition edition `json:"edition"` // this one or a newer one
}

// profileAnswer is those that the peer has, as far as its budget goes.
type profileAnswer struct {
	Profiles []profileGiven `json:"profiles"`
}

type profileGiven struct {
	ID      string          `json:"id"`
	Edition edition         `json:"edition"`
	Profile json.RawMessage `json:"profile"`
}

// fetcher fetches for shares. ask is a call of another peer; others lists whom
// one may ask.
type fetcher struct {
	shares *shares
	others func() []string
	ask    func(ctx context.Context, id string, request profileRequest) (profileAnswer, error)
	budget budget
}

// run fetches what is wanted and tells this peer's load until ctx ends.
func (f *fetcher) run(ctx context.Context) {
	for {
		wait := f.shares.tellLoad()
		if rest := f.fetch(ctx); rest > 0 && (wait == 0 || rest < wait) {
			wait = rest
		}
		var due <-chan time.Time
		timer := time.NewTimer(wait)
		if wait > 0 {
			due = timer.C
		}
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-f.shares.wake:
		case <-due:
		}
		timer.Stop()
	}
}

// fetch makes one call if one is due, and says when the next will be; zero for
// when there is nothing to fetch.
func (f *fetcher) fetch(ctx context.Context) time.Duration {
	request, rest := f.shares.due()
	if len(request.Wanted) == 0 {
		return rest
	}
	if rest := f.budget.rest(f.shares.now()); rest > 0 {
		return rest
	}
	whom := f.whom(request)
	if whom == "" {
		f.shares.missed(request)
		return time.Second
	}
	if f.shares.owns(whom, request) {
		request.Wanted = slices.DeleteFunc(request.Wanted, func(w profileWanted) bool { return w.ID != whom })
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	answer, err := f.ask(ctx, whom, request)
	if err != nil {
		f.shares.log.Debug("profiles can't be fetched", "from", whom, "error", err)
	}
	f.budget.spend(f.shares.now(), f.shares.took(request, answer))
	return time.Millisecond // look again
}

// whom chooses a peer to ask: the owner of the first, or anyone.
func (f *fetcher) whom(request profileRequest) string {
	others := f.others()
	if first := request.Wanted[0].ID; f.shares.owns(first, request) && slices.Contains(others, first) {
		return first
	}
	if len(others) == 0 {
		return ""
	}
	return others[rand.N(len(others))]
}

// due lists the profiles that are to be asked for now, the most pressing first,
// or says when that will be.
func (s *shares) due() (profileRequest, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var request profileRequest
	var rest time.Duration
	now := s.now()
	ids := slices.SortedFunc(maps.Keys(s.wanted), func(a, b string) int { return s.wanted[a].after.Compare(s.wanted[b].after) })
	for _, id := range ids {
		w := s.wanted[id]
		if w.after.After(now) {
			rest = w.after.Sub(now)
			break
		}
		if request.Wanted = append(request.Wanted, profileWanted{id, w.edition}); len(request.Wanted) == maxAsked {
			break
		}
	}
	return request, rest
}

// owns says whether a request is to go to the owner of the first profile in it:
// every other try, when only a few are wanted.
func (s *shares) owns(id string, request profileRequest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.wanted[id]
	return request.Wanted[0].ID == id && len(request.Wanted) <= fewWanted && w != nil && w.tries%2 == 0
}

// missed puts off what was asked for in vain.
func (s *shares) missed(request profileRequest) { s.took(request, profileAnswer{}) }

// took keeps what came, puts off what didn't, and says how many bytes it was.
func (s *shares) took(request profileRequest, answer profileAnswer) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	size := 0
	for _, given := range answer.Profiles {
		size += len(given.Profile)
		if given.Edition > 0 && given.Edition <= maxEdition && checkShared(given.Profile, MaxProfileBytes) == nil {
			s.take(given.ID, given.Edition, given.Profile)
		}
	}
	for _, asked := range request.Wanted {
		w := s.wanted[asked.ID]
		if w == nil || w.edition != asked.Edition {
			continue
		}
		if known := s.issues[asked.ID]; w.edition == 0 && known != nil && known.profileEdition > 0 {
			delete(s.wanted, asked.ID)
			continue
		}
		if w.tries++; w.tries == maxTries {
			delete(s.wanted, asked.ID)
			continue
		}
		backoff := min(firstBackoff<<(w.tries-1), maxBackoff)
		w.after = s.now().Add(backoff/2 + rand.N(backoff))
	}
	return size
}

// give answers a request as far as the budget goes.
func (s *shares) give(request profileRequest, b *budget) (profileAnswer, error) {
	if len(request.Wanted) > maxAsked {
		return profileAnswer{}, fmt.Errorf("%d profiles are asked for, at most %d are handed out", len(request.Wanted), maxAsked)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := profileAnswer{Profiles: []profileGiven{}}
	size := 0
	for _, wanted := range request.Wanted {
		known := s.issues[wanted.ID]
		if known == nil || known.profileEdition == 0 || known.profileEdition < wanted.Edition {
			continue
		}
		if size+len(known.profile) > handedOut || b.rest(s.now()) > 0 {
			break
		}
		size += len(known.profile)
		b.spend(s.now(), len(known.profile))
		answer.Profiles = append(answer.Profiles, profileGiven{wanted.ID, known.profileEdition, known.profile})
	}
	return answer, nil
}

// budget is bytes per second, with a burst. It may be overdrawn by one call.
// Its users see to it that one at a time uses it.
type budget struct {
	spent float64 // bytes over what time has paid back
	at    time.Time
}

func (b *budget) pay(now time.Time) {
	if !b.at.IsZero() {
		b.spent = max(0, b.spent-now.Sub(b.at).Seconds()*fetchBytesPerSecond)
	}
	b.at = now
}

// rest is how long to wait until something may be spent.
func (b *budget) rest(now time.Time) time.Duration {
	b.pay(now)
	if b.spent < fetchBurst {
		return 0
	}
	return time.Duration((b.spent-fetchBurst)/fetchBytesPerSecond*float64(time.Second)) + time.Millisecond
}

func (b *budget) spend(now time.Time, bytes int) {
	b.pay(now)
	b.spent += float64(bytes)
}

// shareProfiles is the fetcher of a peer.
func (p *Peer) shareProfiles() {
	f := &fetcher{
		shares: p.shares,
		others: func() []string {
			var ids []string
			for _, member := range p.Members() {
				if member.ID != p.id && member.Cluster != "" && member.Cluster == p.Cluster() {
					ids = append(ids, member.ID)
				}
			}
			return ids
		},
		ask: func(ctx context.Context, id string, request profileRequest) (answer profileAnswer, err error) {
			err = p.Call(ctx, id, callProfiles, request, &answer)
			return answer, err
		},
	}
	f.run(p.alive)
}

func (p *Peer) serveProfiles(_ context.Context, _ string, in json.RawMessage) (any, error) {
	var request profileRequest
	if err := json.Unmarshal(in, &request); err != nil {
		return nil, fmt.Errorf("read which profiles are asked for: %w", err)
	}
	return p.shares.give(request, &p.shares.serving)
}
