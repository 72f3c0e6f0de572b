package storage

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// s3Clients makes clients for S3 locations. Their connections are shared.
type s3Clients struct {
	defaults S3Defaults
	backoff  time.Duration
	guarded  *http.Client // for endpoints that users name, and AWS
	trusted  *http.Client // for the operator's endpoint

	mu     sync.Mutex
	chain  *aws.Config // loaded when first needed
	failed time.Time   // when the chain last had no credentials
}

// chainPause is how long an empty credentials chain isn't asked again: on a
// machine without an instance role each question takes seconds.
const chainPause = time.Minute

// chainTimeout bounds such a question.
const chainTimeout = 5 * time.Second

func newS3Clients(config Config, rules DialRules) (*s3Clients, error) {
	defaults := config.DefaultS3
	options := HTTPOptions{ConnectTimeout: config.ConnectTimeout, HeaderTimeout: 2 * time.Minute}
	if defaults.Endpoint != "" {
		endpoint, err := parseEndpoint(defaults.Endpoint)
		if err != nil {
			return nil, fmt.Errorf("storage: default S3 endpoint: %w", err)
		}
		defaults.Endpoint = endpoint
	}
	if defaults.CAFile != "" {
		pem, err := os.ReadFile(defaults.CAFile)
		if err == nil {
			options.RootCAs, err = loadCAs(pem)
		}
		if err != nil {
			return nil, fmt.Errorf("storage: read S3 certificate authorities %s: %w", defaults.CAFile, err)
		}
	}
	return &s3Clients{
		defaults: defaults, backoff: config.Retry.Base,
		guarded: NewHTTPClient(rules, options), trusted: newClient(newDialer(options), options),
	}, nil
}

func (c *s3Clients) close() {
	c.guarded.CloseIdleConnections()
	c.trusted.CloseIdleConnections()
}

// client is for the location's endpoint, region and keys. An endpoint that the
// URL names gets the URL's keys or none: a request signed with the operator's
// keys could be replayed by whoever runs that endpoint.
func (c *s3Clients) client(ctx context.Context, l Location) (*s3.Client, error) {
	own := l.Endpoint == "" || l.Endpoint == c.defaults.Endpoint
	endpoint := orDefault(l.Endpoint, c.defaults.Endpoint)
	options := s3.Options{
		Region:       l.Region,
		UsePathStyle: endpoint != "",
		HTTPClient:   c.guarded,
		// Retry.run is the one that retries; the SDK may try twice because it
		// corrects a wrong clock only between tries of its own.
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts, o.BaseDelay, o.MaxBackoff = 2, c.backoff, c.backoff
		}),
		// Checksums in trailers are refused by many stores that aren't AWS;
		// the signature covers the payload's SHA-256 all the same.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
		AppID:                      "millrace",
	}
	if endpoint != "" {
		options.BaseEndpoint = aws.String(endpoint)
	}
	if own && c.defaults.Endpoint != "" {
		options.HTTPClient = c.trusted
	}
	if own {
		options.Region = orDefault(options.Region, c.defaults.Region)
		if c.defaults.PathStyle != nil {
			options.UsePathStyle = *c.defaults.PathStyle
		}
	}
	if l.PathStyle != nil {
		options.UsePathStyle = *l.PathStyle
	}
	switch keys := l.Credentials; {
	case keys != nil:
		options.Credentials = static(keys)
	case own && c.defaults.Credentials != nil:
		options.Credentials = static(c.defaults.Credentials)
	case own:
		if err := c.fromChain(ctx, &options); err != nil {
			return nil, err
		}
	default:
		options.Credentials = aws.AnonymousCredentials{}
	}
	options.Region = orDefault(options.Region, "us-east-1")
	return s3.New(options), nil
}

func static(keys *Credentials) aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(keys.AccessKey, keys.SecretKey, keys.SessionToken)
}

// fromChain takes credentials and region from the peer's AWS chain
// (environment, files, instance role); without any the requests go unsigned,
// which public buckets accept.
func (c *s3Clients) fromChain(ctx context.Context, options *s3.Options) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	options.Credentials = aws.AnonymousCredentials{}
	if c.chain == nil {
		loaded, err := awsconfig.LoadDefaultConfig(ctx)
		if err != nil {
			return fmt.Errorf("load the AWS credentials chain: %w", err)
		}
		c.chain = &loaded
	}
	options.Region = orDefault(options.Region, c.chain.Region)
	if !c.failed.IsZero() && time.Since(c.failed) < chainPause {
		return nil
	}
	ask, cancel := context.WithTimeout(ctx, chainTimeout)
	defer cancel()
	if _, err := c.chain.Credentials.Retrieve(ask); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		c.failed = time.Now()
		return nil
	}
	options.Credentials = c.chain.Credentials
	return nil
}
