package storage

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
)

func TestDialRulesRefuseEverythingThatIsNotPublic(t *testing.T) {
	for _, address := range []string{
		"127.0.0.1", "127.1.2.3", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
		"100.64.0.1", "100.127.255.255", "100.100.100.200", "169.254.1.1", "169.254.169.254", "192.0.0.192", "192.0.0.8",
		"192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255",
		"240.0.0.1", "255.255.255.255",
		"::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:7f00:1",
		"64:ff9b::7f00:1", "64:ff9b::8.8.8.8", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:7f00:1::", "2001:20::1",
		"2001:db8::1", "2002:7f00:1::", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fdff::1", "fe80::1",
		"fe80::1%eth0", "2606:4700::1111%eth0", "fec0::1", "ff02::1", "4000::1",
	} {
		err := DialRules{}.Check(netip.AddrPortFrom(netip.MustParseAddr(address), 80))
		var blocked *BlockedError
		if !errors.As(err, &blocked) || blocked.Reason == "" {
			t.Errorf("%s gives %v", address, err)
		}
	}
}

func TestDialRulesLetPublicAndAllowedAddressesThrough(t *testing.T) {
	rules := DialRules{Allowed: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd12::/16")}}
	for _, address := range []string{
		"8.8.8.8", "172.15.255.255", "172.32.0.1", "100.63.255.255", "100.128.0.1", "192.0.1.1", "223.255.255.255",
		"2606:4700::1111", "2a00:1450::1", "10.1.2.3", "::ffff:10.1.2.3", "fd12::1",
	} {
		if err := rules.Check(netip.AddrPortFrom(netip.MustParseAddr(address), 443)); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, address := range []string{"10.2.0.1", "fd13::1", "::ffff:10.2.0.1", "::10.1.2.3"} {
		if rules.Check(netip.AddrPortFrom(netip.MustParseAddr(address), 443)) == nil {
			t.Errorf("%s is let through", address)
		}
	}
}

func TestDialRulesRefuseTheClustersOwnPortsInAllowedNetworks(t *testing.T) {
	rules := DialRules{Allowed: loopbackNetwork, Refuse: func(a netip.AddrPort) bool { return a.Port() == 7947 }}
	for address, allowed := range map[string]bool{"127.0.0.1:80": true, "127.0.0.1:7947": false, "[::ffff:127.0.0.1]:7947": false} {
		if err := rules.Check(netip.MustParseAddrPort(address)); (err == nil) != allowed {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestDialRulesControlRefusesWhatIsNoTCPAddress(t *testing.T) {
	for _, dial := range [][2]string{
		{"udp4", "8.8.8.8:53"}, {"unix", "/run/x.sock"}, {"tcp4", "example.com:80"}, {"tcp6", "[fe80::1%eth0]:80"},
		{"tcp6", "[fe80::1%25eth0]:80"}, {"tcp4", ""},
	} {
		if (DialRules{}).Control(context.Background(), dial[0], dial[1], nil) == nil {
			t.Errorf("%v is let through", dial)
		}
	}
}

// canary counts connections on a listener that nobody may reach.
func canary(t *testing.T) (address string, connections func() int) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	count, done := 0, make(chan struct{})
	go func() {
		defer close(done)
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			count++
			_ = connection.Close()
		}
	}()
	// The kernel queues connections in order, so one of our own at the end
	// proves that all before it were counted.
	return listener.Addr().String(), func() int {
		connection, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadAll(connection) // until it is accepted and closed
		_ = connection.Close()
		_ = listener.Close()
		<-done
		return count - 1
	}
}

func TestGuardedClientSendsNoPacketToAForbiddenAddress(t *testing.T) {
	address, connections := canary(t)
	_, port, _ := net.SplitHostPort(address)
	client := NewHTTPClient(DialRules{}, HTTPOptions{})
	defer client.CloseIdleConnections()
	for _, host := range []string{
		"127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "0", "[::]",
	} {
		response, err := client.Get("http://" + host + ":" + port + "/")
		if err == nil {
			_ = response.Body.Close()
			t.Errorf("%s was reached", host)
		}
	}
	if n := connections(); n != 0 {
		t.Errorf("%d connections reached the canary", n)
	}
}

func TestClientWithoutRedirectsReturnsThem(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) })
	client := NewHTTPClient(DialRules{Allowed: loopbackNetwork}, HTTPOptions{})
	defer client.CloseIdleConnections()
	response, err := client.Get(server)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusFound {
		t.Errorf("got %s", response.Status)
	}
}
