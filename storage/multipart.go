package storage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"golang.org/x/sync/errgroup"

	"millrace/job"
)

const (
	// singlePut is the largest object that goes in one request: sending it
	// again after a reset costs little.
	singlePut = 16 << 20
	// partBytes is a part's size, more where there would be over maxParts.
	partBytes = 16 << 20
	maxParts  = 9000 // S3 has 10,000
	// partsAtOnce fills a 10 Gbit/s link to a store 20 ms away.
	partsAtOnce = 4
)

// putParts uploads in parts. Unless it returns nil, the parts are removed.
func (b *bucketOutput) putParts(ctx context.Context, name, contentType string, body io.ReaderAt, size int64) (string, error) {
	var upload *string
	err := b.retry(ctx, writeSide, 0, func(ctx context.Context) error {
		output, err := b.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
			Bucket: b.bucket(), Key: b.key(name), ContentType: optional(contentType),
		})
		if err == nil {
			upload = output.UploadId
		}
		return err
	})
	if err != nil {
		return "", err
	}
	parts, err := b.uploadParts(ctx, name, upload, body, size)
	var etag string
	if err == nil {
		etag, err = b.complete(ctx, name, upload, parts, body, size)
	}
	if err != nil {
		b.abandon(ctx, b.key(name), upload)
		return "", err
	}
	return etag, nil
}

func (b *bucketOutput) uploadParts(ctx context.Context, name string, upload *string, body io.ReaderAt, size int64) ([]types.CompletedPart, error) {
	part := max(partBytes, (size+maxParts-1)/maxParts)
	parts := make([]types.CompletedPart, (size+part-1)/part)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(partsAtOnce)
	for i := range parts {
		off := int64(i) * part
		length := min(part, size-off)
		number := aws.Int32(int32(i + 1))
		group.Go(func() error {
			return b.retry(ctx, writeSide, length, func(ctx context.Context) error {
				output, err := b.client.UploadPart(ctx, &s3.UploadPartInput{
					Bucket: b.bucket(), Key: b.key(name), UploadId: upload, PartNumber: number,
					Body: io.NewSectionReader(body, off, length), ContentLength: aws.Int64(length),
				})
				if err == nil {
					parts[i] = types.CompletedPart{ETag: output.ETag, PartNumber: number}
				}
				return err
			})
		})
	}
	return parts, group.Wait()
}

// complete makes the object of the parts. If the store's answer is lost, the
// next try finds no such upload; then the object itself tells whether the try
// before succeeded.
func (b *bucketOutput) complete(ctx context.Context, name string, upload *string, parts []types.CompletedPart, body io.ReaderAt, size int64) (string, error) {
	var etag string
	tries := 0
	err := b.retry(ctx, writeSide, size, func(ctx context.Context) error {
		tries++
		output, err := b.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
			Bucket: b.bucket(), Key: b.key(name), UploadId: upload,
			MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
		})
		if err == nil {
			etag = bareTag(output.ETag)
		}
		if hasCode(err, "NoSuchUpload") && b.holds(ctx, name, body, size) {
			return nil
		}
		return err
	})
	return etag, err
}

// holds says whether the object in the store has exactly these bytes.
func (b *bucketOutput) holds(ctx context.Context, name string, body io.ReaderAt, size int64) bool {
	want := sha256.New()
	if _, err := io.Copy(want, io.NewSectionReader(body, 0, size)); err != nil {
		return false
	}
	stored, err := b.get(ctx, name)
	if err != nil {
		return false
	}
	defer stored.Close()
	got := sha256.New()
	_, err = io.Copy(got, stored)
	return err == nil && hex.EncodeToString(got.Sum(nil)) == hex.EncodeToString(want.Sum(nil))
}

// abandon removes an upload's parts, also when the caller has left.
func (b *bucketOutput) abandon(ctx context.Context, key, upload *string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	if err := b.abortUpload(ctx, key, upload); err != nil {
		b.store.log.WarnContext(ctx, "parts of an upload are left in the store", "output", b.name, "err", err)
	}
}

func (b *bucketOutput) abortUpload(ctx context.Context, key, upload *string) error {
	return b.retry(ctx, outputSide, 0, func(ctx context.Context) error {
		_, err := b.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: b.bucket(), Key: key, UploadId: upload})
		if hasCode(err, "NoSuchUpload") || hasStatus(err, http.StatusNotFound) && !hasCode(err, "NoSuchBucket") {
			return nil
		}
		return err
	})
}

// abort removes every upload under the prefix.
func (b *bucketOutput) abort(ctx context.Context) error {
	input := &s3.ListMultipartUploadsInput{Bucket: b.bucket(), Prefix: aws.String(b.location.Key)}
	for {
		var page *s3.ListMultipartUploadsOutput
		err := b.retry(ctx, outputSide, 0, func(ctx context.Context) (err error) {
			page, err = b.client.ListMultipartUploads(ctx, input)
			return err
		})
		var failure *job.Failure
		if errors.As(err, &failure) && failure.Code == job.OutputBucketNotFound {
			return nil // nothing is left where nothing is
		}
		if err != nil {
			return err
		}
		for _, upload := range page.Uploads {
			if err := b.abortUpload(ctx, upload.Key, upload.UploadId); err != nil {
				return err
			}
		}
		if !aws.ToBool(page.IsTruncated) || page.NextKeyMarker == nil {
			return nil
		}
		input.KeyMarker, input.UploadIdMarker = page.NextKeyMarker, page.NextUploadIdMarker
	}
}

func hasCode(err error, code string) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == code
}
