package node

import (
	"net"
	"testing"
)

func TestOthersAreToldAddressesThatTheyReach(t *testing.T) {
	for _, test := range []struct {
		name                          string
		raft, gossip, advertise, http string
		wantHost, wantHTTP            string
	}{
		{"each its own", "10.0.0.5:7947", "10.0.0.5:7946", "", "10.0.0.5:8080", "", "10.0.0.5:8080"},
		{"HTTP on all addresses", "10.0.0.5:7947", "10.0.0.5:7946", "", "0.0.0.0:8080", "", "10.0.0.5:8080"},
		{"gossip on all addresses", "10.0.0.5:7947", "0.0.0.0:7946", "", "10.0.0.5:8080", "10.0.0.5", "10.0.0.5:8080"},
		{"all on all addresses", "0.0.0.0:7947", "[::]:7946", "peer5", "[::]:8080", "peer5", "peer5:8080"},
		{"an address translation", "172.17.0.2:7947", "172.17.0.2:7946", "10.0.0.5", "172.17.0.2:8080", "10.0.0.5", "10.0.0.5:8080"},
		{"a proxy before HTTP", "10.0.0.5:7947", "10.0.0.5:7946", "10.0.0.5", "127.0.0.1:8080", "10.0.0.5", "127.0.0.1:8080"},
		{"no gossip", "127.0.0.1:7947", "", "", "127.0.0.1:8080", "", "127.0.0.1:8080"},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := Config{RaftAddr: test.raft, GossipAddr: test.gossip, Advertise: test.advertise}
			listening, err := net.ResolveTCPAddr("tcp", test.http)
			if err != nil {
				t.Fatal(err)
			}
			if got := config.advertised(); got != test.wantHost {
				t.Errorf("the host advertised is %q, want %q", got, test.wantHost)
			}
			if got := config.toldHTTP(listening); got != test.wantHTTP {
				t.Errorf("the API is told at %q, want %q", got, test.wantHTTP)
			}
		})
	}
}
