package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
)

const anyLoad = "any"

// hears waits until a peer knows of another what is expected.
func hears(t *testing.T, p *Peer, of, profile, load string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s hears of %s", p.ID(), of), func() string {
		for _, shared := range p.Shared() {
			if shared.ID != of {
				continue
			}
			if string(shared.Profile) == profile && (load == anyLoad || string(shared.Load) == load && !shared.LoadSeen.IsZero()) {
				return ""
			}
			return fmt.Sprintf("it has %.60s and %.60s", shared.Profile, shared.Load)
		}
		return "it isn't in the list"
	})
}

func TestPeersHearOfEachOthersProfilesAndLoads(t *testing.T) {
	t.Parallel() // it mostly waits
	peers := trio(t)
	large := `"` + strings.Repeat("x", MaxProfileBytes-2) + `"`
	for id, p := range peers {
		p.ShareProfile(json.RawMessage(large))
		p.ShareLoad(json.RawMessage(`{"of":"` + id + `"}`))
	}
	for _, p := range peers {
		for _, of := range []string{"a", "b", "c"} {
			hears(t, p, of, large, `{"of":"`+of+`"}`)
		}
	}
	// What changes is told; what can't be told leaves things as they were.
	peers["b"].ShareProfile(json.RawMessage(`{"gpus":2}`))
	peers["b"].ShareProfile(json.RawMessage(`"` + large + `"`))
	peers["b"].ShareProfile(json.RawMessage(`{`))
	peers["b"].ShareLoad(json.RawMessage(`{"of":"b","busy":1}`))
	peers["b"].ShareLoad(json.RawMessage(`"` + strings.Repeat("x", MaxLoadBytes) + `"`))
	hears(t, peers["a"], "b", `{"gpus":2}`, `{"of":"b","busy":1}`)

	// A newcomer hears what was told before, and who dies is heard of no more.
	late := launch(t, member(t, "d", peers["a"].gossipAddr()))
	ready(t, late)
	hears(t, late, "b", `{"gpus":2}`, anyLoad)
	hears(t, late, "a", large, anyLoad)
	cutOff(t, peers["c"])
	eventually(t, "c is dropped", func() string {
		for _, shared := range late.Shared() {
			if shared.ID == "c" {
				return "d still lists c"
			}
		}
		late.shares.mu.Lock()
		defer late.shares.mu.Unlock()
		if late.shares.issues["c"] != nil {
			return "d still keeps c's profile"
		}
		return ""
	})
}

func TestAPeerWithoutGossipSharesWithItself(t *testing.T) {
	p := open(t, quick(t.TempDir()))
	p.ShareProfile(json.RawMessage(`1`))
	p.ShareLoad(json.RawMessage(`2`))
	if all := p.Shared(); len(all) != 1 || all[0].ID != p.ID() || string(all[0].Profile) != "1" || string(all[0].Load) != "2" {
		t.Errorf("shared: %+v", all)
	}
}

// pair is two peers' shares that know of each other, with one clock each.
func pair() (a, b *shares) {
	log := slog.New(slog.DiscardHandler)
	a, b = newShares("a", log), newShares("b", log)
	a.joined("b")
	b.joined("a")
	return a, b
}

// exchange hands what one tells to the other and back, as often as it takes.
func exchange(a, b *shares) {
	for range 4 * loadTransmits {
		for _, message := range a.toTell(3, 1400) {
			b.hear(message)
		}
		a, b = b, a
	}
}

// fetched lets one fetch from the other all it wants.
func fetched(s, from *shares) {
	f := &fetcher{
		shares: s, others: func() []string { return []string{from.self} },
		ask: func(_ context.Context, _ string, request profileRequest) (profileAnswer, error) {
			return from.give(request, &budget{})
		},
	}
	for _, w := range s.wanted {
		w.after = time.Time{}
	}
	f.fetch(context.Background())
}

func TestAPeerThatRestartsWithASlowClockIsHeardAllTheSame(t *testing.T) {
	a, b := pair()
	b.setProfile(json.RawMessage(`"old"`))
	b.setLoad(json.RawMessage(`"old"`))
	b.tellLoad()
	exchange(b, a)
	fetched(a, b)
	if got := a.of([]string{"b"})[0]; string(got.Profile) != `"old"` || string(got.Load) != `"old"` {
		t.Fatalf("a has %s and %s", got.Profile, got.Load)
	}

	// It restarts a day earlier, so soon that gossip notices nothing.
	again := newShares("b", slog.New(slog.DiscardHandler))
	again.now = func() time.Time { return time.Now().Add(-24 * time.Hour) }
	again.joined("a")
	again.setProfile(json.RawMessage(`"new"`))
	again.setLoad(json.RawMessage(`"new"`))
	again.tellLoad()
	exchange(again, a)
	again.told = time.Time{}
	again.tellLoad()
	exchange(again, a)
	fetched(a, again)
	if got := a.of([]string{"b"})[0]; string(got.Profile) != `"new"` || string(got.Load) != `"new"` {
		t.Errorf("after the restart a has %s and %s", got.Profile, got.Load)
	}
}

func TestPushPullTellsOfProfilesThatNoRumourBrought(t *testing.T) {
	a, b := pair()
	c := newShares("c", a.log)
	for _, s := range []*shares{a, b} {
		s.joined("c")
		c.joined(s.self)
	}
	c.setProfile(json.RawMessage(`"of c"`))
	b.merge(c.digest()) // brings the profile itself
	if got := b.of([]string{"c"})[0]; string(got.Profile) != `"of c"` {
		t.Fatalf("b has %s", got.Profile)
	}
	a.merge(b.digest()) // only says that there is one
	if got := a.of([]string{"c"})[0]; got.Profile != nil {
		t.Fatalf("a has %s already", got.Profile)
	}
	for range 4 {
		fetched(a, b)
	}
	if got := a.of([]string{"c"})[0]; string(got.Profile) != `"of c"` {
		t.Errorf("a has %s", got.Profile)
	}
}

func TestForeignBytesAreRefused(t *testing.T) {
	rumourOf := func(kind byte, id string, e edition, body string) []byte {
		return encodeRumour(rumour{kind, id, e, []byte(body)})
	}
	a, b := pair()
	b.setProfile(json.RawMessage(`"real"`))
	a.merge(b.digest())
	for name, message := range map[string][]byte{
		"nothing": nil, "a kind alone": {kindLoad}, "an unknown kind": rumourOf(9, "b", 1, "1"),
		"no id": rumourOf(kindLoad, "", 1, "1"), "an odd id": rumourOf(kindLoad, "../b", 1, "1"),
		"an endless id": append([]byte{kindLoad}, bytes.Repeat([]byte{0xff}, 20)...),
		"edition 0":     rumourOf(kindLoad, "b", 0, "1"), "an edition of never": rumourOf(kindLoad, "b", maxEdition+1, "1"),
		"no JSON": rumourOf(kindLoad, "b", 1, "{"), "too large": rumourOf(kindLoad, "b", 1, `"`+strings.Repeat("x", MaxLoadBytes)+`"`),
		"a stranger": rumourOf(kindLoad, "stranger", 1, "1"), "a rumour with a body": rumourOf(kindProfile, "b", maxEdition, "1"),
	} {
		a.hear(message)
		if a.issues["b"].load != nil || a.issues["stranger"] != nil || len(a.wanted) > 0 || len(a.rumours.byKey) > 0 {
			t.Fatalf("%s was believed", name)
		}
	}
	digestOf := func(profile string, entries ...edited) []byte {
		return encodeDigest("b", digest{profile: json.RawMessage(profile), editions: entries})
	}
	many := slices.Repeat([]edited{{"b", 1}}, maxDigestEntries)
	for name, data := range map[string][]byte{
		"nothing": nil, "another format": {9, 1, 'b', 0}, "torn": digestOf("", edited{"b", maxEdition})[:6],
		"no JSON": digestOf("{", edited{"b", maxEdition}), "too large": digestOf(`"`+strings.Repeat("x", MaxProfileBytes)+`"`, edited{"b", maxEdition}),
		"strangers": digestOf("", edited{"x", 1}, edited{"y", 2}), "too many": append(digestOf("", many...), 1, 'b', 1), "odd ids": digestOf("", edited{"/", 1}),
	} {
		a.merge(data)
		if string(a.issues["b"].profile) != `"real"` || len(a.issues) != 2 || len(a.wanted) > 0 {
			t.Fatalf("%s was believed", name)
		}
	}
	request := profileRequest{Wanted: []profileWanted{{"b", 0}}}
	a.took(request, profileAnswer{Profiles: []profileGiven{
		{"b", maxEdition + 1, json.RawMessage(`1`)}, {"b", maxEdition, json.RawMessage(`{`)}, {"x", 1, json.RawMessage(`1`)}, {"a", maxEdition, json.RawMessage(`1`)},
	}})
	if string(a.issues["b"].profile) != `"real"` || len(a.issues) != 2 || a.issues["a"].profile != nil {
		t.Error("an answer was believed")
	}
	if _, err := a.give(profileRequest{Wanted: make([]profileWanted, maxAsked+1)}, &budget{}); err == nil {
		t.Error("any number of profiles may be asked for")
	}
}

func FuzzGossip(f *testing.F) {
	f.Add(encodeRumour(rumour{kindLoad, "b", 7, []byte("1")}))
	f.Add(encodeDigest("b", digest{profile: json.RawMessage("1"), editions: []edited{{"b", 1}, {"a", 2}}}))
	f.Fuzz(func(_ *testing.T, data []byte) {
		a, _ := pair()
		a.hear(data) // must not panic
		a.merge(data)
	})
}

func TestBytesOfALargeClusterAreBounded(t *testing.T) {
	const packets = 15 // a second: 3 peers, 5 times
	for _, peers := range []int{3, 30, 1000, 10_000} {
		for _, size := range []int{20, 150, MaxLoadBytes} {
			message := len(encodeRumour(rumour{kindLoad, strings.Repeat("n", maxNodeID), maxEdition, make([]byte, size)}))
			told := float64(peers*message) / loadEvery(peers, message).Seconds() // by all, in a second
			if told > loadBytesPerSecond+1 && loadEvery(peers, message) > time.Second {
				t.Errorf("%d peers with loads of %d bytes tell %.0f bytes a second", peers, size, told)
			}
			if sent := min(told*loadTransmits, packets*1400); sent > 21_000 {
				t.Errorf("%d peers with loads of %d bytes: each sends %.0f bytes a second", peers, size, sent)
			}
		}
	}
	// A digest of a thousand, with its own profile, is far below a megabyte.
	s := newShares(strings.Repeat("n", maxNodeID), slog.New(slog.DiscardHandler))
	s.setProfile(json.RawMessage(`"` + strings.Repeat("x", MaxProfileBytes-2) + `"`))
	for n := range 999 {
		id := fmt.Sprintf("%s%04d", strings.Repeat("n", maxNodeID-4), n)
		s.joined(id)
		s.take(id, maxEdition, s.issues[s.self].profile)
	}
	if size := len(s.digest()); size > 150_000 {
		t.Errorf("the digest has %d bytes", size)
	}
}
