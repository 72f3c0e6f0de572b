package storage

import (
	"context"
	"errors"
	"net/http"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"millrace/job"
)

// s3 turns an error of the S3 SDK into what Retry.run understands.
func (d side) s3(ctx context.Context, name string, err error) error {
	var (
		api      smithy.APIError
		response *awshttp.ResponseError
		status   int
		header   http.Header
		code     string
		detail   string
	)
	if errors.As(err, &response) && response.Response != nil {
		status, header = response.HTTPStatusCode(), response.Response.Header
	}
	if errors.As(err, &api) {
		code = api.ErrorCode()
		detail = code
		if message := printable(api.ErrorMessage()); message != "" {
			detail += ": " + message
		}
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil || status == 0 && api == nil:
		return d.transport(ctx, name, innermost(err))
	}
	switch code {
	case "NoSuchBucket":
		return job.Fail(d.bucketMissing, "%s: there is no such bucket.", name)
	case "PermanentRedirect", "AuthorizationHeaderMalformed", "TemporaryRedirect", "IllegalLocationConstraintException":
		region := header.Get("x-amz-bucket-region")
		if region == "" {
			return job.Fail(d.denied, "%s: the bucket is in another region (%s); name it with ?region=….", name, detail)
		}
		return job.Fail(d.denied, "%s: the bucket is in region %s; name it with ?region=….", name, printable(region))
	case "SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "OperationAborted", "Throttling", "ThrottlingException", "RequestTimeTooSkewed":
		return &transient{failure: job.Fail(d.unreachable, "%s: the store answered %s.", name, detail), after: retryAfter(header)}
	case "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "AccountProblem", "AllAccessDisabled",
		"XAdminUserNotFound": // versitygw's word, with a 404, for an unknown access key
		return job.Fail(d.denied, "%s: the store answered %s.", name, detail)
	}
	if status == 0 {
		return &transient{failure: job.Fail(d.unreachable, "%s: %s.", name, detail)}
	}
	return d.status(name, status, header, detail)
}

// innermost peels the SDK's wrapping, which repeats endpoints and request ids,
// off an error that no store answered.
func innermost(err error) error {
	var operation *smithy.OperationError
	for errors.As(err, &operation) {
		err = operation.Err
	}
	var send *smithyhttp.RequestSendError
	if errors.As(err, &send) {
		err = send.Err
	}
	return err
}
