package scheduler

import (
	"millrace/job"
)

// splitGain is what a chunk's time must shrink to for its ladder to be split: what
// is gained must be more than a start costs.
const splitGain = 0.8

// Split says into which groups a job's ladder is split, by the names of their
// renditions; nil where the whole ladder stays together, so that each frame is
// decoded once. It is split only where a job has the rack to itself and has fewer
// segments than there are places to encode them: then each group is made in a
// place of its own, and decoding again costs nobody anything.
func Split(plan job.Plan, outlook Outlook) [][]string {
	segments := plan.Timeline.Segments()
	if outlook.Run > 0 || segments == 0 {
		return nil
	}
	decode := float64(plan.Source.Width*plan.Source.Height) / decodeToEncode
	whole, _ := heaviest(plan.Renditions, 1, decode)
	best, groups := splitGain*whole, [][]string(nil)
	for n := 2; n <= min(len(plan.Renditions), outlook.Places/segments); n++ {
		// Of numbers of groups that take equally long the smallest.
		if longest, names := heaviest(plan.Renditions, n, decode); longest < best {
			best, groups = longest, names
		}
	}
	return groups
}

// heaviest puts renditions, largest first, into n groups, each into the one that
// has least so far, and says what the one that has most takes with its decoding:
// in pixels that are encoded for each frame.
func heaviest(renditions []job.Rendition, n int, decode float64) (longest float64, groups [][]string) {
	groups = make([][]string, n)
	taken := make([]float64, n)
	for _, rendition := range renditions {
		least := 0
		for i := range taken {
			if taken[i] < taken[least] {
				least = i
			}
		}
		groups[least] = append(groups[least], rendition.Name)
		taken[least] += float64(rendition.Width * rendition.Height)
		longest = max(longest, taken[least]+decode)
	}
	return longest, groups
}
