package node

import (
	"fmt"
	"strings"

	"millrace/storage"
)

// locations refuses file URLs outside the roots when a job is posted, rather
// than when it runs. What lies behind symbolic links is judged when opened.
type locations struct{ sourceRoots, outputRoots []string }

func (l locations) CheckInput(location storage.Location) error {
	return checkRoots(location, l.sourceRoots, "source", "--source-root")
}

func (l locations) CheckOutput(location storage.Location) error {
	return checkRoots(location, l.outputRoots, "output", "--output-root")
}

func checkRoots(location storage.Location, roots []string, what, flag string) error {
	if location.Scheme != storage.File {
		return nil
	}
	if len(roots) == 0 {
		return fmt.Errorf("This cluster has no %s folder: file URLs are not accepted. The operator can name one with %s.", what, flag) //nolint:staticcheck // a sentence for the client
	}
	for _, root := range roots {
		if location.Path == root || strings.HasPrefix(location.Path, strings.TrimSuffix(root, "/")+"/") {
			return nil
		}
	}
	return fmt.Errorf("This folder is not under a %s folder of this cluster. The operator can add one with %s.", what, flag) //nolint:staticcheck // a sentence for the client
}
