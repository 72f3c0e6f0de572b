package storage

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Config is what a Store needs to know. Zero fields get the defaults that their
// comments name.
type Config struct {
	// SourceRoots and OutputRoots are the absolute folders under which file
	// sources are read and file outputs are written; default none, so that
	// file URLs are refused.
	SourceRoots []string
	OutputRoots []string
	// AllowedNetworks are the reserved networks that sources and S3 endpoints
	// named by users may lie in; default none. See DialRules.
	AllowedNetworks []netip.Prefix
	// RefuseAddress is DialRules.Refuse for sources and S3 endpoints.
	RefuseAddress func(netip.AddrPort) bool

	// CacheDir is where blocks of sources are kept. The Store owns its folder
	// "sources" and empties it at start and at Close. Default: a new folder
	// under os.TempDir.
	CacheDir string
	// CacheBytes bounds the cache; default 8 GiB. Blocks being read don't
	// leave it, so it may be exceeded by what is in use at the moment.
	CacheBytes int64
	// BlockBytes is how much is asked of a server at once; default 4 MiB:
	// large enough that the round trip is small beside the transfer at
	// 1 Gbit/s and 20 ms, small enough not to drag in much around a seek.
	BlockBytes int64
	// MaxSourceBytes bounds a source; default 1 TiB.
	MaxSourceBytes int64

	// DefaultS3 is used by S3 URLs that name no endpoint, region or keys.
	DefaultS3 S3Defaults

	// Retry is how trouble that may pass is retried.
	Retry Retry
	// StallTimeout is how long a transfer may bring less than
	// MinBytesPerSecond before it is cut and retried; default 30 s.
	StallTimeout time.Duration
	// MinBytesPerSecond is the slowest transfer that is worth waiting for;
	// default 4096.
	MinBytesPerSecond int64
	// ConnectTimeout bounds a connect and a TLS handshake; default 10 s.
	ConnectTimeout time.Duration
	// RootCAs is a PEM file of certificate authorities that are trusted for
	// sources, besides the system's; default none.
	RootCAs string

	// Logger gets retries and left-overs; default slog.Default().
	Logger *slog.Logger
}

// S3Defaults is the S3 storage that the operator configured.
type S3Defaults struct {
	Endpoint  string // "https://host:port"; empty for AWS. Always allowed, whatever DialRules say.
	Region    string // default: the AWS chain's, then us-east-1
	PathStyle *bool  // default true with an Endpoint, else false
	CAFile    string // PEM of the authorities that signed the endpoint's certificate, besides the system's
	// Credentials, nil to use the AWS chain (environment, files, instance role).
	Credentials *Credentials
}

// Store opens sources and outputs. It is safe for concurrent use.
type Store struct {
	config Config
	log    *slog.Logger
	cache  *cache
	web    *http.Client // for http(s) sources; guarded
	s3     *s3Clients
	temp   string // folder to remove at Close, or ""
}

// New checks the configuration and prepares the cache. It connects to nothing.
func New(config Config) (*Store, error) {
	config.CacheBytes = orDefault(config.CacheBytes, 8<<30)
	config.BlockBytes = orDefault(config.BlockBytes, 4<<20)
	config.MaxSourceBytes = orDefault(config.MaxSourceBytes, 1<<40)
	config.StallTimeout = orDefault(config.StallTimeout, 30*time.Second)
	config.MinBytesPerSecond = orDefault(config.MinBytesPerSecond, 4096)
	config.Retry = config.Retry.withDefaults()
	config.Logger = orDefault(config.Logger, slog.Default())
	if config.CacheBytes < 0 || config.BlockBytes < 0 || config.MaxSourceBytes < 0 {
		return nil, errors.New("storage: cache, block and source sizes must be positive")
	}
	var err error
	if config.SourceRoots, err = cleanRoots(config.SourceRoots); err != nil {
		return nil, fmt.Errorf("storage: source root %w", err)
	}
	if config.OutputRoots, err = cleanRoots(config.OutputRoots); err != nil {
		return nil, fmt.Errorf("storage: output root %w", err)
	}
	rules := DialRules{Allowed: config.AllowedNetworks, Refuse: config.RefuseAddress}
	options := HTTPOptions{ConnectTimeout: config.ConnectTimeout, MaxRedirects: 5}
	if config.RootCAs != "" {
		pem, err := os.ReadFile(config.RootCAs)
		if err == nil {
			options.RootCAs, err = loadCAs(pem)
		}
		if err != nil {
			return nil, fmt.Errorf("storage: read certificate authorities %s: %w", config.RootCAs, err)
		}
	}
	s := &Store{config: config, log: config.Logger, web: NewHTTPClient(rules, options)}
	if s.s3, err = newS3Clients(config, rules); err != nil {
		return nil, err
	}
	if s.config.CacheDir == "" {
		if s.temp, err = os.MkdirTemp("", "millrace-storage-"); err != nil {
			return nil, fmt.Errorf("storage: make a cache folder: %w", err)
		}
		s.config.CacheDir = s.temp
	}
	if s.cache, err = newCache(filepath.Join(s.config.CacheDir, "sources"), config.CacheBytes); err != nil {
		return nil, err
	}
	return s, nil
}

// Close ends every fetch, waits for them, and empties the cache. Close all
// Sources first.
func (s *Store) Close() error {
	err := s.cache.close()
	s.web.CloseIdleConnections()
	s.s3.close()
	if s.temp != "" {
		err = errors.Join(err, os.RemoveAll(s.temp))
	}
	return err
}

// cleanRoots wants absolute folders; they need not exist yet, since a mount may
// come later.
func cleanRoots(roots []string) ([]string, error) {
	var cleaned []string
	for _, root := range roots {
		if !filepath.IsAbs(root) {
			return nil, fmt.Errorf("%q is not an absolute path", root)
		}
		cleaned = append(cleaned, filepath.Clean(root))
	}
	return cleaned, nil
}

// underRoot finds the root that path lies in, and the path from there.
func underRoot(roots []string, path string) (root, rest string, found bool) {
	for _, candidate := range roots {
		prefix := strings.TrimSuffix(candidate, "/") + "/"
		if after, ok := strings.CutPrefix(path, prefix); ok && after != "" && len(candidate) >= len(root) {
			root, rest, found = candidate, after, true
		}
	}
	return root, rest, found
}
