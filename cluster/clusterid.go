package cluster

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// clusterIDSize is the length of a cluster's ID: 130 random bits in base32.
const clusterIDSize = 26

func newClusterID() string { return strings.ToLower(rand.Text()) }

// loadClusterID reads which cluster a data folder belongs to, "" for none yet.
func loadClusterID(folder string) (string, error) {
	name := filepath.Join(folder, clusterIDFile)
	kept, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the cluster's id: %w", err)
	}
	id := strings.TrimSpace(string(kept))
	if len(id) != clusterIDSize {
		return "", fmt.Errorf("%s doesn't hold a cluster's id: %w", name, ErrDamaged)
	}
	return id, nil
}

// pledge is a peer's word that it will be a founder of one cluster and of no
// other. It is kept on disk: forgetting it could let two clusters form.
type pledge struct {
	Founder string   `json:"founder"` // the ID of the peer that founds the cluster
	Cluster string   `json:"cluster"`
	Voters  []server `json:"voters"`
}

// server is a peer as raft names it.
type server struct {
	ID      string `json:"id"`
	Address string `json:"address"`
}

// loadPledge reads the pledge that a data folder holds, nil for none.
func loadPledge(folder string) (*pledge, error) {
	name := filepath.Join(folder, pledgeFile)
	given, err := readNote[pledge](name)
	if err != nil {
		return nil, fmt.Errorf("read the pledge in %s: %w", name, err)
	}
	return given, nil
}

// setPledge keeps a pledge, nil takes it back. The caller holds p.forming.
func (p *Peer) setPledge(given *pledge) error {
	name := filepath.Join(p.config.DataDir, pledgeFile)
	if given == nil {
		if err := removeNote(name); err != nil {
			return fmt.Errorf("take the pledge back: %w", err)
		}
		p.pledge = nil
		return nil
	}
	if err := writeNote(name, given); err != nil {
		return fmt.Errorf("keep the pledge: %w", err)
	}
	p.pledge = given
	return nil
}

// Cluster is the ID of the cluster that the peer belongs to, "" until it has
// founded or joined one.
func (p *Peer) Cluster() string {
	if id := p.cluster.Load(); id != nil {
		return *id
	}
	return ""
}

// belong makes the peer one of a cluster for ever. The caller holds p.forming.
func (p *Peer) belong(cluster string) error {
	if err := writeDurably(filepath.Join(p.config.DataDir, clusterIDFile), []byte(cluster+"\n")); err != nil {
		return fmt.Errorf("keep the cluster's id: %w", err)
	}
	p.cluster.Store(&cluster)
	return nil
}
