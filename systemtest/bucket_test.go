package systemtest

import (
	"context"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"millrace/job"
	"millrace/storage/storagetest"
	"millrace/systemtest/rig"
)

// allowLoopback lets jobs reach servers of this machine.
var allowLoopback = []string{"--allow-source-network", "127.0.0.0/8"}

// bucket looks at a bucket as any S3 client does.
type bucket struct {
	t      testing.TB
	name   string
	client *s3.Client
}

func newBucket(t testing.TB, gateway *storagetest.Gateway, name string) *bucket {
	t.Helper()
	gateway.CreateBucket(t, name)
	return &bucket{t: t, name: name, client: s3.New(s3.Options{
		BaseEndpoint: aws.String(gateway.Endpoint), Region: gateway.Region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(gateway.AccessKey, gateway.SecretKey, ""),
	})}
}

// list names the objects under a prefix at one moment.
func (b *bucket) list(ctx context.Context, prefix string) ([]string, error) {
	var names []string
	pages := s3.NewListObjectsV2Paginator(b.client, &s3.ListObjectsV2Input{Bucket: &b.name, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, object := range page.Contents {
			names = append(names, *object.Key)
		}
	}
	return names, nil
}

// uploads counts the multipart uploads that are neither completed nor aborted.
func (b *bucket) uploads() int {
	b.t.Helper()
	listed, err := b.client.ListMultipartUploads(b.t.Context(), &s3.ListMultipartUploadsInput{Bucket: &b.name})
	if err != nil {
		b.t.Fatal(err)
	}
	return len(listed.Uploads)
}

// watchMasters lists the bucket over and over until both masters were seen.
// The function that it returns waits for that, and says what was there when
// each was seen first.
func (b *bucket) watchMasters(prefix string) (seen func() map[string][]string) {
	ctx, cancel := context.WithCancel(b.t.Context())
	b.t.Cleanup(cancel)
	masters := []string{"video.m3u8", "video.mpd"}
	first := make(map[string][]string)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for len(first) < len(masters) {
			names, err := b.list(ctx, prefix)
			if err != nil {
				if ctx.Err() == nil {
					b.t.Errorf("list the bucket: %v", err)
				}
				return
			}
			for _, master := range masters {
				if first[master] == nil && slices.Contains(names, prefix+master) {
					first[master] = names
				}
			}
		}
	}()
	return func() map[string][]string {
		b.t.Helper()
		rig.Eventually(b.t, "the masters are seen", func() bool {
			select {
			case <-done:
				return true
			default:
				return false
			}
		})
		return first
	}
}

// The bucket is watched from outside, as a player would see it, and the order
// of the writes from within: between two listings much can happen.
func TestAJobFromABucketIntoABucketShowsItsMasterLast(t *testing.T) {
	t.Parallel()
	gateway := storagetest.Start(t)
	videos := newBucket(t, gateway, "videos")
	p := newPeer(t, allowLoopback...)
	p.start()
	rig.CopyFile(t, rig.Numbered(t, 20), filepath.Join(gateway.Dir, "videos", "clip.mp4"))
	seen := videos.watchMasters("out/")
	asked := request(p, gateway.URL("videos", "clip.mp4"), "240p", "360p")
	gate := rig.NewGate(t, gateway, "127.0.0.1:0")
	asked.OutputPath = gate.URL("videos", "out/")
	created := p.submit(asked)
	commandLines := p.watchCommandLines(gateway.SecretKey)
	p.await(created.ID, job.Completed)
	dir := filepath.Join(gateway.Dir, "videos", "out")
	first := seen()
	commandLines()

	referenced := []string{"out/video.mpd"}
	for _, rung := range []string{"240p", "360p", "audio"} {
		referenced = append(referenced, path.Join("out", rung, "index.m3u8"))
		for _, name := range rig.SegmentsOf(t, filepath.Join(dir, rung, "index.m3u8")) {
			referenced = append(referenced, path.Join("out", rung, name))
		}
	}
	if len(referenced) < 30 {
		t.Errorf("the playlists name only %d files", len(referenced))
	}
	for _, name := range referenced {
		if !slices.Contains(first["video.m3u8"], name) || !gate.WroteBefore("videos/"+name, "videos/out/video.m3u8") {
			t.Errorf("the master was there before %s", name)
		}
		if isMedia := strings.HasSuffix(name, ".m4s") || strings.HasSuffix(name, "init.mp4"); isMedia && (!slices.Contains(first["video.mpd"], name) || !gate.WroteBefore("videos/"+name, "videos/out/video.mpd")) {
			t.Errorf("the manifest was there before %s", name)
		}
	}
	if n := videos.uploads(); n != 0 {
		t.Errorf("%d multipart uploads are left", n)
	}
	rig.CheckLadder(t, dir, rig.NumberedLadder(20, "240p", "360p"))
	checkSecretNowhere(t, p, created.ID, gateway)
}

// watchCommandLines looks at the command lines of the peer and its children
// until stop is called.
func (p *peer) watchCommandLines(secret string) (stop func()) {
	ctx, cancel := context.WithCancel(p.t.Context())
	var watching sync.WaitGroup
	watching.Go(func() {
		for ctx.Err() == nil {
			for _, found := range rig.Processes(p.t) {
				if (found.PID == p.pid() || found.Parent == p.pid()) && strings.Contains(found.Command, secret) {
					p.t.Errorf("a secret stands in a command line: %s", found.Command)
					return
				}
			}
		}
	})
	return func() {
		cancel()
		watching.Wait()
	}
}

// checkSecretNowhere looks for the keys of the job's URLs wherever they could
// have got to.
func checkSecretNowhere(t *testing.T, p *peer, id job.ID, gateway *storagetest.Gateway) {
	t.Helper()
	for _, address := range []string{"transcoding_jobs/" + string(id) + "/?expand=tasks", "transcoding_jobs/"} {
		status, answer := p.call(http.MethodGet, address, nil)
		said := text(answer)
		if status != http.StatusOK || strings.Contains(said, gateway.SecretKey) || strings.Contains(said, "access_key="+gateway.AccessKey) {
			t.Errorf("%s answers %d %s", address, status, said)
		}
		if !strings.Contains(said, "***") {
			t.Errorf("%s doesn't show that keys were given: %s", address, said)
		}
	}
	if strings.Contains(p.log(), gateway.SecretKey) {
		t.Error("the secret key stands in the log")
	}
	looked := 0
	err := filepath.WalkDir(p.data, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		looked++
		bytes, err := os.ReadFile(file)
		if strings.Contains(string(bytes), gateway.SecretKey) {
			t.Errorf("the secret key stands in %s", file)
		}
		return err
	})
	if err != nil || looked < 3 {
		t.Errorf("looked into %d files of the data folder: %v", looked, err)
	}
	environment, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.pid()), "environ"))
	if err != nil || strings.Contains(string(environment), gateway.SecretKey) {
		t.Errorf("the secret key stands in the peer's environment (%v)", err)
	}
}

func TestACancelledJobLeavesNothingInTheBucket(t *testing.T) {
	t.Parallel()
	gateway := storagetest.Start(t)
	videos := newBucket(t, gateway, "videos")
	gate := rig.NewGate(t, gateway, "127.0.0.1:0")
	p := newPeer(t, allowLoopback...)
	p.start()
	gate.Hold(http.MethodPut, "/240p/00003.m4s")
	asked := request(p, p.put(rig.Numbered(t, 10), "clip.mp4"), "240p")
	asked.OutputPath = gate.URL("videos", "out/")
	created := p.submit(asked)
	gate.Reached()
	rig.Eventually(t, "something is written", func() bool {
		names, err := videos.list(t.Context(), "out/")
		return err == nil && len(names) > 0
	})
	if _, err := p.api.Cancel(t.Context(), created.ID); err != nil {
		t.Fatal(err)
	}
	p.await(created.ID, job.Cancelled)
	gate.Open()
	rig.Eventually(t, "the job is cleaned up", func() bool { return task(t, p.read(created.ID), "cleanup").State == job.TaskFinished })
	p.noProcessLeft()
	if names, err := videos.list(t.Context(), "out/"); err != nil || len(names) != 0 {
		t.Errorf("left in the bucket: %v, %v", names, err)
	}
	if n := videos.uploads(); n != 0 {
		t.Errorf("%d multipart uploads are left", n)
	}
}

func TestAStoreThatIsBusyForAWhileCostsNoChunk(t *testing.T) {
	t.Parallel()
	gateway := storagetest.Start(t)
	videos := newBucket(t, gateway, "videos")
	gate := rig.NewGate(t, gateway, "127.0.0.1:0")
	p := newPeer(t, allowLoopback...)
	p.start()
	gate.Refuse(12)
	asked := request(p, p.put(rig.Numbered(t, 10), "clip.mp4"), "240p")
	asked.OutputPath = gate.URL("videos", "out/")
	completed := p.await(p.submit(asked).ID, job.Completed)
	if left := gate.Refusals(); left != 0 {
		t.Errorf("%d requests were still to be refused", left)
	}
	for _, k := range completed.Tasks {
		if len(k.Attempts) != 1 {
			t.Errorf("%s was tried again: %s", k.ID, text(k.Attempts))
		}
	}
	rig.CheckLadder(t, filepath.Join(gateway.Dir, "videos", "out"), rig.NumberedLadder(10, "240p"))
	if n := videos.uploads(); n != 0 {
		t.Errorf("%d multipart uploads are left", n)
	}
}
