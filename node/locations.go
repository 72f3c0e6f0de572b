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
		return refusal(fmt.Sprintf("This cluster has no %s folder: file URLs are not accepted. The operator can name one with %s.", what, flag))
	}
	for _, root := range roots {
		if location.Path == root || strings.HasPrefix(location.Path, strings.TrimSuffix(root, "/")+"/") {
			return nil
		}
	}
	return refusal(fmt.Sprintf("This folder is not under a %s folder of this cluster. The operator can add one with %s.", what, flag))
}

// refusal is a sentence for the client.
type refusal string

func (r refusal) Error() string { return string(r) }
