package cluster

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
)

func TestAClusterFormsOnceInAnyOrder(t *testing.T) {
	t.Parallel() // it mostly waits
	for _, order := range [][]string{{"a", "b", "c"}, {"c", "b", "a"}, {"b", "a", "c"}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			peers := trio(t, order...)
			cluster := peers["a"].Cluster()
			propose[any](t, peers["a"], createOrg("default"))
			for id, p := range peers {
				read(t, p)
				if p.Cluster() != cluster || cluster == "" {
					t.Errorf("%s is of cluster %q, a of %q", id, p.Cluster(), cluster)
				}
				if voters := voterIDs(p); !slices.Equal(voters, []string{"a", "b", "c"}) {
					t.Errorf("%s knows the voters %v", id, voters)
				}
			}
			sealed, err := peers["a"].Keyring().Seal([]byte("secret"), "here")
			if err != nil {
				t.Fatal(err)
			}
			if plain, err := peers["c"].Keyring().Open(sealed, "here"); err != nil || string(plain) != "secret" {
				t.Errorf("c opens a's secret: %q, %v", plain, err)
			}
			for id, p := range peers {
				if _, ok := read(t, p).Organisation("default"); !ok {
					t.Errorf("%s doesn't see the organisation", id)
				}
			}
		})
	}
}

func TestAllAtOnceFormOneCluster(t *testing.T) {
	t.Parallel() // it mostly waits
	// The addresses are known before anybody starts, as in a real deployment.
	var addresses []string
	for range 3 {
		listener, err := net.Listen("tcp", "127.0.0.9:0") // where nobody else takes a port meanwhile
		if err != nil {
			t.Fatal(err)
		}
		addresses = append(addresses, listener.Addr().String())
		_ = listener.Close()
	}
	peers, failures := make([]*Peer, 3), make([]error, 3)
	var starting sync.WaitGroup
	for i := range peers {
		config := member(t, fmt.Sprint("p", i), addresses...)
		config.Expect, config.GossipAddr = 3, addresses[i]
		starting.Go(func() { peers[i], failures[i] = Open(t.Context(), config) })
	}
	starting.Wait()
	for _, p := range peers {
		if p != nil {
			t.Cleanup(func() { _ = p.Close() })
		}
	}
	if err := errors.Join(failures...); err != nil {
		t.Fatal(err)
	}
	ready(t, peers...)
	propose[any](t, peers[0], createOrg("default"))
	for _, p := range peers {
		read(t, p)
		if p.Cluster() != peers[0].Cluster() || len(voterIDs(p)) != 3 {
			t.Errorf("%s: cluster %s, voters %v", p.ID(), p.Cluster(), voterIDs(p))
		}
	}
}

func TestTwoClustersNeverMerge(t *testing.T) {
	t.Parallel() // it mostly waits
	one := launch(t, member(t, "a"))
	ready(t, one)
	config := member(t, "b")
	other := launch(t, config)
	ready(t, other)
	propose[any](t, other, createOrg("others"))
	closePeer(t, other)
	config.Join = []string{one.gossipAddr()}
	other = launch(t, config)
	ready(t, other)
	if _, err := other.gossip().list.Join(config.Join); err == nil {
		t.Error("it joined the other cluster's gossip")
	}
	for _, p := range []*Peer{one, other} {
		if members := p.Members(); len(members) != 1 || len(voterIDs(p)) != 1 {
			t.Errorf("%s sees %+v, voters %v", p.ID(), members, voterIDs(p))
		}
	}
	if err := one.callAt(t.Context(), other.RaftAddr(), callReadIndex, nil, nil); !errors.Is(err, ErrOtherCluster) {
		t.Errorf("a call between the clusters: %v", err)
	}
	if err := one.callAt(t.Context(), other.RaftAddr(), callJoin, joinRequest{ID: "a", Address: one.RaftAddr()}, nil); !errors.Is(err, ErrOtherCluster) {
		t.Errorf("joining from another cluster: %v", err)
	}
}
