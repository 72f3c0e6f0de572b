package storage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"millrace/job"
)

// s3Origin is a source in an S3 bucket.
type s3Origin struct {
	client   *s3.Client
	location Location
	name     string // redacted
}

// cacheKey has the keys in it too: who can't read an object must not get it
// from the cache.
func (o *s3Origin) cacheKey() string { return o.location.String() }

func (o *s3Origin) get(ctx context.Context, first, last int64, known version) (*answer, error) {
	input := &s3.GetObjectInput{Bucket: aws.String(o.location.Bucket), Key: aws.String(o.location.Key)}
	if last >= 0 {
		input.Range = aws.String(fmt.Sprintf("bytes=%d-%d", first, last))
	}
	if known.strongTag() {
		input.IfMatch = aws.String(known.etag)
	}
	output, err := o.client.GetObject(ctx, input)
	if err != nil {
		return nil, o.failure(ctx, first, err)
	}
	got := &answer{
		body: output.Body, length: aws.ToInt64(output.ContentLength), total: aws.ToInt64(output.ContentLength),
		version: version{etag: aws.ToString(output.ETag)},
	}
	if output.LastModified != nil {
		got.modified = output.LastModified.UTC().Format(time.RFC3339Nano)
	}
	if output.ContentRange == nil {
		return got, nil
	}
	from, to, total, ok := parseContentRange(aws.ToString(output.ContentRange))
	if !ok || from != first || last >= 0 && to > last {
		_ = output.Body.Close()
		return nil, &transient{failure: job.Fail(job.InputUnreachable, "%s: the store answered with another range than asked for.", o.name)}
	}
	got.ranged, got.first, got.length, got.total = true, from, to-from+1, total
	return got, nil
}

func (o *s3Origin) failure(ctx context.Context, first int64, err error) error {
	var response *awshttp.ResponseError
	if errors.As(err, &response) && response.Response != nil {
		switch response.HTTPStatusCode() {
		case http.StatusPreconditionFailed:
			return changed(o.name, "its ETag is another")
		case http.StatusRequestedRangeNotSatisfiable:
			if first == 0 {
				return job.Fail(job.InputEmpty, "%s has no bytes.", o.name)
			}
			return changed(o.name, "it has become shorter")
		}
	}
	return inputSide.s3(ctx, o.name, err)
}
