// Package storagetest gives tests a real S3 server: versitygw with its posix
// backend on a temporary folder, started for one test and gone after it.
//
//	gateway := storagetest.Start(t)
//	gateway.CreateBucket(t, "videos")
//	location, err := storage.ParseOutput(gateway.URL("videos", "out/"))
package storagetest

import (
	"bytes"
	"context"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Gateway is a running S3 server.
type Gateway struct {
	Endpoint  string // "http://127.0.0.1:port"
	AccessKey string
	SecretKey string
	Region    string
	// Dir holds a folder for each bucket, with the objects as files.
	Dir string

	binary string
}

// Start runs a server until the test ends. It fails the test when versitygw
// isn't installed. Its address is on the loopback, which the store under test
// must be allowed to reach.
func Start(t testing.TB) *Gateway {
	t.Helper()
	g := &Gateway{
		AccessKey: "millrace-test", SecretKey: "millrace-test-secret", Region: "us-east-1",
		Dir: t.TempDir(), binary: binary(t),
	}
	// The port is free when it's looked for, and may be gone when it's used.
	const tries = 3
	var words string
	for range tries {
		address := freeAddress(t)
		g.Endpoint = "http://" + address
		var up bool
		if words, up = g.run(t, address); up {
			return g
		}
	}
	t.Fatalf("versitygw did not start:\n%s", words)
	return nil
}

// URL names an object or prefix with everything that is needed to reach it.
func (g *Gateway) URL(bucket, key string) string {
	query := url.Values{
		"access_key": {g.AccessKey}, "secret_key": {g.SecretKey},
		"region": {g.Region}, "endpoint": {g.Endpoint},
	}
	u := url.URL{Scheme: "s3", Host: bucket, Path: "/" + key, RawQuery: query.Encode()}
	return u.String()
}

// CreateBucket makes a bucket.
func (g *Gateway) CreateBucket(t testing.TB, name string) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(g.Dir, name), 0o755); err != nil {
		t.Fatal(err)
	}
}

// run starts the server and says whether it answers, and what it said.
func (g *Gateway) run(t testing.TB, address string) (words string, up bool) {
	t.Helper()
	var said safeBuffer
	// t.Context ends before the test's cleanups, which may still need the server.
	command := exec.CommandContext(context.WithoutCancel(t.Context()), g.binary, "--quiet", "--keep-alive", "--port", address,
		"--access", g.AccessKey, "--secret", g.SecretKey, "--region", g.Region, "posix", g.Dir)
	command.Stdout, command.Stderr = &said, &said
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	// Pdeathsig looks at the thread that started the process, so it is kept.
	started, exited := make(chan error), make(chan struct{})
	go func() {
		defer close(exited)
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		err := command.Start()
		started <- err
		if err == nil {
			_ = command.Wait() // it is killed
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("start versitygw: %v", err)
	}
	stop := func() {
		_ = command.Process.Kill()
		<-exited
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if !answers(ctx, address, exited) {
		stop()
		return said.String(), false
	}
	t.Cleanup(stop)
	return "", true
}

// answers waits until something accepts connections at address.
func answers(ctx context.Context, address string, exited <-chan struct{}) bool {
	var dialer net.Dialer
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		connection, err := dialer.DialContext(ctx, "tcp", address)
		if err == nil {
			_ = connection.Close()
			return true
		}
		select {
		case <-ticker.C:
		case <-exited:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

func freeAddress(t testing.TB) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // it was only asked for its port
	return listener.Addr().String()
}

// binary finds versitygw: $MILLRACE_VERSITYGW, then PATH, then .tools/bin of
// the repository.
func binary(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("MILLRACE_VERSITYGW"); path != "" {
		return path
	}
	if path, err := exec.LookPath("versitygw"); err == nil {
		return path
	}
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; folder = filepath.Dir(folder) {
		path := filepath.Join(folder, ".tools", "bin", "versitygw")
		if _, err := os.Stat(path); err == nil {
			return path
		}
		if folder == filepath.Dir(folder) {
			break
		}
	}
	t.Fatal("versitygw is missing: run `make test` once, it installs versitygw into .tools/bin, or set MILLRACE_VERSITYGW")
	return ""
}

// safeBuffer collects what the server says while it may still be saying it.
type safeBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
