package storage

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"millrace/job"
)

// bucketOutput writes under a prefix of an S3 bucket.
type bucketOutput struct {
	store    *Store
	client   *s3.Client
	location Location
	name     string
}

func (b *bucketOutput) bucket() *string { return aws.String(b.location.Bucket) }

func (b *bucketOutput) key(name string) *string { return aws.String(b.location.Key + name) }

func (b *bucketOutput) url(name string) string {
	u := url.URL{Scheme: "s3", Host: b.location.Bucket, Path: "/" + b.location.Key + name}
	return u.String()
}

// writeSide explains failed writes: a 404 for a write is about the bucket.
var writeSide = func() side {
	d := outputSide
	d.notFound = d.bucketMissing
	return d
}()

// retry runs a request that moves about size bytes until it succeeds. Each try
// gets time for size at sixteen times the slowest rate that a transfer may
// have, and two stall timeouts for the store to think.
func (b *bucketOutput) retry(ctx context.Context, d side, size int64, request func(context.Context) error) error {
	config := b.store.config
	limit := 2*config.StallTimeout + time.Duration(size/(16*config.MinBytesPerSecond))*time.Second
	return config.Retry.run(ctx, b.store.log, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeoutCause(ctx, limit, errStalled)
		defer cancel()
		return d.s3(ctx, b.name, request(ctx))
	})
}

func (b *bucketOutput) put(ctx context.Context, name, contentType string, body io.ReaderAt, size int64) (string, error) {
	if size > singlePut {
		return b.putParts(ctx, name, contentType, body, size)
	}
	var etag string
	err := b.retry(ctx, writeSide, size, func(ctx context.Context) error {
		output, err := b.client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: b.bucket(), Key: b.key(name), ContentType: optional(contentType),
			Body: io.NewSectionReader(body, 0, size), ContentLength: aws.Int64(size),
		})
		if err == nil {
			etag = bareTag(output.ETag)
		}
		return err
	})
	return etag, err
}

func optional(text string) *string {
	if text == "" {
		return nil
	}
	return aws.String(text)
}

// bareTag drops an ETag's quotes, which not every store sends everywhere.
func bareTag(etag *string) string { return strings.Trim(aws.ToString(etag), `"`) }

func (b *bucketOutput) get(ctx context.Context, name string) (io.ReadCloser, error) {
	var body io.ReadCloser
	err := b.store.config.Retry.run(ctx, b.store.log, func(ctx context.Context) error {
		watched, watch := b.store.startWatch(ctx)
		output, err := b.client.GetObject(watched, &s3.GetObjectInput{Bucket: b.bucket(), Key: b.key(name)})
		if err != nil {
			defer watch.stop()
			if hasStatus(err, http.StatusNotFound) && !hasCode(err, "NoSuchBucket") {
				return job.Fail(job.OutputVerification, "%s: %s is not there.", b.name, name)
			}
			return outputSide.s3(watched, b.name, err)
		}
		body = &failingReader{
			readCloser{watch.count(output.Body), closeBoth{output.Body, watch}},
			func(err error) error { return outputSide.transport(watched, b.name, err) },
		}
		return nil
	})
	return body, err
}

// closeBoth closes a body and ends its watch.
type closeBoth struct {
	body  io.Closer
	watch *watch
}

func (c closeBoth) Close() error {
	err := c.body.Close()
	c.watch.stop()
	return err
}

func hasStatus(err error, status int) bool {
	var response *awshttp.ResponseError
	return errors.As(err, &response) && response.Response != nil && response.HTTPStatusCode() == status
}

func (b *bucketOutput) list(ctx context.Context, prefix string) iter.Seq2[job.Object, error] {
	return func(yield func(job.Object, error) bool) {
		var next *string
		for {
			var page *s3.ListObjectsV2Output
			err := b.retry(ctx, outputSide, 0, func(ctx context.Context) (err error) {
				page, err = b.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
					Bucket: b.bucket(), Prefix: b.key(prefix), ContinuationToken: next,
				})
				return err
			})
			if err != nil {
				yield(job.Object{}, err)
				return
			}
			for _, object := range page.Contents {
				name := strings.TrimPrefix(aws.ToString(object.Key), b.location.Key)
				if name == "" || strings.HasSuffix(name, "/") {
					continue // a folder's marker
				}
				found := job.Object{Name: name, Size: aws.ToInt64(object.Size), ETag: bareTag(object.ETag)}
				if !yield(found, nil) {
					return
				}
			}
			if !aws.ToBool(page.IsTruncated) || page.NextContinuationToken == nil {
				return
			}
			next = page.NextContinuationToken
		}
	}
}

func (b *bucketOutput) delete(ctx context.Context, name string) error {
	return b.retry(ctx, outputSide, 0, func(ctx context.Context) error {
		_, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: b.bucket(), Key: b.key(name)})
		if hasCode(err, "NoSuchKey") {
			return nil
		}
		return err
	})
}

// removeBase has nothing to do: a prefix without objects doesn't exist.
func (b *bucketOutput) removeBase() error { return nil }
