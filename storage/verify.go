package storage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"golang.org/x/sync/errgroup"

	"millrace/job"
)

// BadObject is an object that isn't in the store as it was written.
type BadObject struct {
	job.Object
	Reason string // for people: "is missing", …
}

// hashesAtOnce is how many objects Verify reads in parallel.
const hashesAtOnce = 4

// Verify compares the objects, as Put gave them, with what lies in the store
// now. Size and ETag decide where the store has ETags; where it has none, or
// another one than was noted (some stores make a new one for the same bytes),
// the object is read and its SHA-256 decides. bad is in the order of objects.
// The error is about the store, not about the objects.
func (o *Output) Verify(ctx context.Context, objects []job.Object) (bad []BadObject, err error) {
	if len(objects) == 0 {
		return nil, nil
	}
	stored := map[string]job.Object{}
	for object, err := range o.List(ctx, commonFolder(objects)) {
		if err != nil {
			return nil, fmt.Errorf("verify %d objects: %w", len(objects), err)
		}
		stored[object.Name] = object
	}
	reasons := make([]string, len(objects))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(hashesAtOnce)
	for i, want := range objects {
		got, found := stored[want.Name]
		switch {
		case !found:
			reasons[i] = "is missing"
		case got.Size != want.Size:
			reasons[i] = fmt.Sprintf("has %d bytes, not %d", got.Size, want.Size)
		case want.ETag != "" && want.ETag == got.ETag:
			// The version that was written.
		case want.SHA256 == "":
			reasons[i] = "has another ETag"
		default:
			group.Go(func() error {
				var err error
				reasons[i], err = o.compareHash(groupCtx, want)
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("verify %d objects: %w", len(objects), err)
	}
	for i, reason := range reasons {
		if reason != "" {
			bad = append(bad, BadObject{objects[i], reason})
		}
	}
	return bad, nil
}

// commonFolder is the deepest folder that holds all the objects, with its slash, or "".
func commonFolder(objects []job.Object) string {
	folder := path.Dir(objects[0].Name)
	for _, object := range objects[1:] {
		for folder != "." && !strings.HasPrefix(object.Name, folder+"/") {
			folder = path.Dir(folder)
		}
	}
	if folder == "." {
		return ""
	}
	return folder + "/"
}

func (o *Output) compareHash(ctx context.Context, want job.Object) (reason string, err error) {
	err = o.store.config.Retry.run(ctx, o.store.log, func(ctx context.Context) error {
		body, err := o.at.get(ctx, want.Name)
		if err != nil {
			return err
		}
		defer body.Close()
		hash := sha256.New()
		if _, err := io.Copy(hash, contextReader{ctx, body}); err != nil {
			var failure *job.Failure
			if errors.As(err, &failure) && failure.Code.Info().Blame == job.BlameStore {
				return &transient{failure: failure}
			}
			return err
		}
		if hex.EncodeToString(hash.Sum(nil)) != want.SHA256 {
			reason = "has other bytes"
		}
		return nil
	})
	var failure *job.Failure
	if errors.As(err, &failure) && failure.Code == job.OutputVerification {
		return "is missing", nil
	}
	return reason, err
}
