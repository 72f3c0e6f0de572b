package main

import (
	"slices"
	"strings"
	"testing"
)

func TestAddressesThatOthersCantReachAreRefusedByTheirFlag(t *testing.T) {
	away := []string{"--raft", "10.0.0.5:7947", "--gossip", "10.0.0.5:7946"}
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"the defaults with others to join", []string{"--expect", "3", "--join", "10.0.0.5,10.0.0.6"}, "--raft listens on 127.0.0.1, which only this machine reaches"},
		{"gossip on the loopback", []string{"--join", "10.0.0.6", "--raft", "10.0.0.5:7947"}, "--gossip listens on 127.0.0.1"},
		{"all addresses", []string{"--raft", "0.0.0.0:7947"}, "--advertise"},
		{"all addresses, as no host", []string{"--raft", ":7947"}, "--advertise"},
		{"advertised but on the loopback", []string{"--advertise", "10.0.0.5"}, "--raft listens on 127.0.0.1"},
		{"the loopback advertised", append(away, "--advertise", "127.0.0.1", "--join", "10.0.0.6"), "--advertise is 127.0.0.1"},
		{"all addresses advertised", append(away, "--advertise", "0.0.0.0"), "--advertise"},
		{"a port advertised", append(away, "--advertise", "10.0.0.5:7947"), "without a port"},
		{"a URL to join", append(away, "--join", "http://10.0.0.6"), `--join names "http://10.0.0.6"`},
		{"no host to join", append(away, "--join", ":7946"), "its host is none"},
		{"port 0 to join", append(away, "--join", "10.0.0.6:0"), "its port is none"},
		{"no port", []string{"--raft", "10.0.0.5"}, "--raft is \"10.0.0.5\""},
		{"no gossip", []string{"--gossip", "", "--expect", "3"}, "--gossip is \"\""},
		{"fewer than none", []string{"--expect", "-1"}, "--expect is -1"},
		{"more founders than voters", []string{"--expect", "7"}, "--max-voters"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := settings(t, append([]string{}, test.args...)...)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got the error %v, want %q in it", err, test.want)
			}
		})
	}
}

func TestAddressesThatOthersReachAreTaken(t *testing.T) {
	for name, args := range map[string][]string{
		"one machine":                 {"--expect", "3", "--join", "127.0.0.1:7946,127.0.0.2:7946,localhost"},
		"one machine, others join it": {"--expect", "3"},
		"several machines":            {"--raft", "10.0.0.5:7947", "--gossip", "10.0.0.5:7946", "--expect", "3", "--join", "10.0.0.5,10.0.0.6"},
		"all addresses, one told":     {"--raft", "0.0.0.0:7947", "--gossip", "[::]:7946", "--advertise", "peer5.example.com", "--join", "10.0.0.6"},
		"IPv6":                        {"--raft", "[fd00::5]:7947", "--gossip", "[fd00::5]:7946", "--join", "fd00::6,[fd00::7]:7000"},
		"no gossip for one":           {"--gossip", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := settings(t, args...); err != nil {
				t.Error(err)
			}
		})
	}
	got, err := settings(t, "--raft", "[fd00::5]:7947", "--gossip", "[fd00::5]:7946", "--join", "fd00::6,[fd00::7]:7000,a")
	if want := []string{"[fd00::6]:7946", "[fd00::7]:7000", "a:7946"}; err != nil || !slices.Equal(got.Join, want) {
		t.Errorf("--join is read as %q, %v, want %q", got.Join, err, want)
	}
}
