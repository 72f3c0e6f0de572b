package cluster

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// What peers tell each other of themselves besides who they are, as JSON that
// this room doesn't read. All of it is a hint.
//
// A profile (what the machine has) changes seldom and may be large. A peer
// that has a new one spreads a rumour of some 30 bytes; whoever hears it fetches
// the profile by a call, from its owner or from anyone who has it already. The
// push/pull exchange carries the sender's own profile and, of all the others,
// only which edition it has, so that what a rumour missed is fetched then.
//
// A load (what the machine does now) is small and soon out of date: it rides
// whole on the packets of gossip, and the larger the cluster, the seldomer.

const (
	// MaxProfileBytes bounds what ShareProfile takes.
	MaxProfileBytes = 64 << 10
	// MaxLoadBytes bounds what ShareLoad takes.
	MaxLoadBytes = 512
)

// Shared is what a peer has told of itself, as far as this one has heard.
type Shared struct {
	ID string `json:"id"`
	// Profile and Load are what the peer gave ShareProfile and ShareLoad; nil
	// while nothing was heard. They must not be changed.
	Profile json.RawMessage `json:"profile,omitempty"`
	Load    json.RawMessage `json:"load,omitempty"`
	// LoadSeen is when this peer heard the load, by its own clock.
	LoadSeen time.Time `json:"load_seen,omitzero"`
}

// ShareProfile tells the other peers what this one has: a JSON value of up to
// MaxProfileBytes, in the place of the one before. In a small cluster all have
// it within a second or two. What is too large or isn't JSON is logged and not
// told.
func (p *Peer) ShareProfile(profile json.RawMessage) {
	if err := checkShared(profile, MaxProfileBytes); err != nil {
		p.log.Error("this peer's profile can't be told to the others", "error", err)
		return
	}
	p.shares.setProfile(profile)
}

// ShareLoad tells the other peers what this one does now: a JSON value of up to
// MaxLoadBytes, in the place of the one before. It may be called at any rate:
// the newest is told at most once a second, and more seldom in a large cluster
// (see loadEvery). What is too large or isn't JSON is logged and not told.
func (p *Peer) ShareLoad(load json.RawMessage) {
	if err := checkShared(load, MaxLoadBytes); err != nil {
		p.log.Error("this peer's load can't be told to the others", "error", err)
		return
	}
	p.shares.setLoad(load)
}

// Shared lists what all peers of the cluster that gossip sees alive, this one
// among them, have told of themselves, by ID. One that has told nothing yet is
// in the list without a profile.
func (p *Peer) Shared() []Shared {
	ids := []string{p.id}
	for _, member := range p.Members() {
		if member.ID != p.id {
			ids = append(ids, member.ID)
		}
	}
	slices.Sort(ids)
	return p.shares.of(ids)
}

// edition tells the issues of one peer's profile, or load, apart: the larger is
// the newer. It is the time in nanoseconds when the peer gave it out, or one
// more than the last that anybody has heard of: a peer whose clock went back
// over a restart finds out from the others, and goes on from there.
type edition uint64

// maxEdition is in the year 2116. Nobody honest comes near it.
const maxEdition edition = 1 << 62

// issue is one peer's latest words.
type issue struct {
	profile        json.RawMessage
	profileEdition edition // 0: none
	load           json.RawMessage
	loadEdition    edition // 0: none
	loadSeen       time.Time
}

// shares is what this peer knows of all, and what it has still to pass on.
type shares struct {
	self string
	log  *slog.Logger
	now  func() time.Time
	wake chan struct{} // holds one: there is something to fetch or to tell

	mu      sync.Mutex
	issues  map[string]*issue // of this peer and of the members that gossip sees
	wanted  map[string]*want
	rumours rumours
	pending bool      // own load hasn't been told yet
	told    time.Time // when it last was
	serving budget    // for what is handed out
}

func newShares(self string, log *slog.Logger) *shares {
	return &shares{
		self: self, log: log.With("part", "gossip"), now: time.Now, wake: make(chan struct{}, 1),
		issues: map[string]*issue{self: {}}, wanted: make(map[string]*want),
	}
}

func (s *shares) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *shares) of(ids []string) []Shared {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Shared, len(ids))
	for i, id := range ids {
		all[i].ID = id
		if known := s.issues[id]; known != nil {
			all[i].Profile, all[i].Load, all[i].LoadSeen = known.profile, known.load, known.loadSeen
		}
	}
	return all
}

// next is the edition after one.
func (s *shares) next(last edition) edition {
	return max(last+1, edition(max(s.now().UnixNano(), 1)))
}

func (s *shares) setProfile(profile json.RawMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.issues[s.self]
	if own.profileEdition != 0 && bytes.Equal(own.profile, profile) {
		return
	}
	own.profile, own.profileEdition = bytes.Clone(profile), s.next(own.profileEdition)
	s.announce(s.self, own.profileEdition)
}

func (s *shares) setLoad(load json.RawMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.issues[s.self]
	own.load, own.loadEdition, own.loadSeen = bytes.Clone(load), s.next(own.loadEdition), s.now()
	s.pending = true
	s.rouse()
}

// announce spreads the rumour of a profile. The caller holds s.mu.
func (s *shares) announce(id string, e edition) {
	s.rumours.spread(rumourKey{id, kindProfile}, encodeRumour(rumour{kindProfile, id, e, nil}), announceTransmits(len(s.issues)))
}

// loadBytesPerSecond bounds the loads that all peers together tell in a second.
// Each peer passes each on loadTransmits times, so that is four times this at
// every peer, whatever the cluster's size.
const loadBytesPerSecond = 4096

// loadEvery is how often a peer tells its load of some bytes: once a second
// among a few, once in about half a minute among a thousand.
func loadEvery(peers, size int) time.Duration {
	return max(time.Second, time.Duration(peers*size)*time.Second/loadBytesPerSecond)
}

// tellLoad spreads this peer's load if that is due, and says when it will be;
// zero for never, as things are.
func (s *shares) tellLoad() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.pending {
		return 0
	}
	own := s.issues[s.self]
	message := encodeRumour(rumour{kindLoad, s.self, own.loadEdition, own.load})
	if rest := loadEvery(len(s.issues), len(message)) - s.now().Sub(s.told); rest > 0 {
		return rest
	}
	s.pending, s.told = false, s.now()
	s.rumours.spread(rumourKey{s.self, kindLoad}, message, loadTransmits)
	return 0
}

// joined begins to take notice of a member that gossip sees.
func (s *shares) joined(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.issues[id] != nil || checkNodeID(id) != nil {
		return
	}
	s.issues[id] = &issue{}
	s.want(id, 0)
}

// left drops everything of a member that gossip sees no more.
func (s *shares) left(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id == s.self {
		return
	}
	delete(s.issues, id)
	delete(s.wanted, id)
	s.rumours.drop(id)
}

// toTell fills one packet of gossip.
func (s *shares) toTell(overhead, limit int) [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rumours.next(overhead, limit)
}

// hear takes in one message of gossip; what can't be read is dropped.
func (s *shares) hear(message []byte) {
	r, err := decodeRumour(message)
	if err != nil {
		s.log.Debug("a message of gossip can't be read", "error", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.issues[r.id]
	switch {
	case known == nil: // not seen yet: the next push/pull tells of it again
	case r.id == s.self:
		s.heardOfSelf(r.kind, r.edition)
	case r.kind == kindLoad && r.edition > known.loadEdition:
		known.load, known.loadEdition, known.loadSeen = bytes.Clone(r.body), r.edition, s.now()
		s.rumours.spread(rumourKey{r.id, kindLoad}, bytes.Clone(message), loadTransmits)
	case r.kind == kindLoad && r.edition+outdated < known.loadEdition:
		// Its owner began anew with a clock that is behind: let it know.
		s.rumours.spread(rumourKey{r.id, kindLoad}, encodeRumour(rumour{kindLoad, r.id, known.loadEdition, known.load}), loadTransmits)
	case r.kind == kindProfile && r.edition+outdated < known.profileEdition:
		s.announce(r.id, known.profileEdition)
	case r.kind == kindProfile && s.want(r.id, r.edition):
		s.announce(r.id, r.edition)
	}
}

// outdated is how much older than the newest an edition is that doesn't just
// come late.
const outdated = edition(time.Minute)

// heardOfSelf outdoes what an earlier run of this peer told. The caller holds s.mu.
func (s *shares) heardOfSelf(kind byte, e edition) {
	own := s.issues[s.self]
	switch {
	case kind == kindLoad && own.loadEdition != 0 && e > own.loadEdition:
		own.loadEdition, s.pending = s.next(e), true
		s.rouse()
	case kind == kindProfile && own.profileEdition != 0 && e > own.profileEdition:
		own.profileEdition = s.next(e)
		s.announce(s.self, own.profileEdition)
	}
}

// digest is what push/pull tells: this peer's profile, and which edition it has
// of the others'.
func (s *shares) digest() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := digest{profile: s.issues[s.self].profile}
	for id, known := range s.issues {
		if known.profileEdition != 0 {
			d.editions = append(d.editions, edited{id, known.profileEdition})
		}
	}
	return encodeDigest(s.self, d)
}

// merge takes in another's digest; what can't be read is dropped as a whole.
func (s *shares) merge(data []byte) {
	from, d, err := decodeDigest(data)
	if err != nil {
		s.log.Debug("a digest of gossip can't be read", "error", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, other := range d.editions {
		switch {
		case s.issues[other.id] == nil:
		case other.id == s.self:
			s.heardOfSelf(kindProfile, other.edition)
		case other.id == from && d.profile != nil:
			s.take(other.id, other.edition, bytes.Clone(d.profile))
		default:
			s.want(other.id, other.edition)
		}
	}
}

// take keeps another's profile, which is nobody else's, if it is newer than
// what is known. The caller holds s.mu.
func (s *shares) take(id string, e edition, profile json.RawMessage) {
	known := s.issues[id]
	if known == nil || id == s.self {
		return
	}
	if e > known.profileEdition {
		known.profile, known.profileEdition = profile, e
	}
	if w := s.wanted[id]; w != nil && w.edition <= known.profileEdition {
		delete(s.wanted, id)
	}
}
