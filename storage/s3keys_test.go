package storage

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"millrace/job"
)

// chainOnly makes the AWS chain find nothing but these environment variables.
func chainOnly(t *testing.T, access, secret string) {
	t.Helper()
	empty := t.TempDir()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret, "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": empty + "/config", "AWS_SHARED_CREDENTIALS_FILE": empty + "/credentials", "AWS_PROFILE": "",
	} {
		t.Setenv(name, value)
	}
}

func TestKeysComeFromTheChainWhereNoneAreConfigured(t *testing.T) {
	gateway := startGateway(t)
	chainOnly(t, gateway.AccessKey, gateway.SecretKey)
	store := newStore(t, func(c *Config) { c.DefaultS3 = S3Defaults{Endpoint: gateway.Endpoint} })
	if err := output(t, store, "s3://videos/out").Check(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestWithoutAnyKeysRequestsAreUnsignedAndRefused(t *testing.T) {
	gateway := startGateway(t)
	chainOnly(t, "", "")
	store := newStore(t, func(c *Config) { c.DefaultS3 = S3Defaults{Endpoint: gateway.Endpoint} })
	for range 2 {
		wantCode(t, output(t, store, "s3://videos/out").Check(t.Context()), job.OutputAccessDenied)
	}
}

func TestOperatorsKeysAreNotSentToAnEndpointThatAUserNames(t *testing.T) {
	chainOnly(t, "operator", "operator-secret")
	foreign := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" || r.URL.Query().Has("X-Amz-Signature") {
			t.Error("the request is signed")
		}
		w.WriteHeader(http.StatusForbidden)
	})
	store := newStore(t, func(c *Config) {
		c.DefaultS3 = S3Defaults{Endpoint: "https://s3.example.com", Credentials: &Credentials{AccessKey: "op", SecretKey: "sec"}}
	})
	wantCode(t, openError(t, store, "s3://videos/a.mp4?endpoint="+foreign), job.InputAccessDenied)
}

func TestBucketInAnotherRegionIsNamed(t *testing.T) {
	gateway := faulty(t, startGateway(t), func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("x-amz-bucket-region", "eu-north-1")
		w.WriteHeader(http.StatusMovedPermanently)
		_, _ = w.Write([]byte(`<Error><Code>PermanentRedirect</Code><Message>Elsewhere.</Message></Error>`))
		return true
	})
	message := wantCode(t, output(t, newStore(t, nil), gateway.URL("videos", "out")).Check(t.Context()), job.OutputAccessDenied)
	if !strings.Contains(message, "region eu-north-1") {
		t.Errorf("message %q", message)
	}
}

func TestKeysThatExpireAreNamed(t *testing.T) {
	var expired atomic.Bool
	gateway := faulty(t, startGateway(t), func(w http.ResponseWriter, _ *http.Request) bool {
		if expired.Load() {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>`))
		}
		return expired.Load()
	})
	out := output(t, newStore(t, nil), gateway.URL("videos", "out"))
	if err := out.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	expired.Store(true)
	_, err := out.Put(t.Context(), "a", "", noise(10))
	wantCode(t, err, job.OutputAccessDenied)
}

func TestKeyThatMayOnlyReadIsRefusedByCheck(t *testing.T) {
	gateway := faulty(t, startGateway(t), func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`<Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>`))
		return true
	})
	wantCode(t, output(t, newStore(t, nil), gateway.URL("videos", "out")).Check(t.Context()), job.OutputAccessDenied)
}

func TestKeyThatMayNotDeletePassesTheCheck(t *testing.T) {
	gateway := faulty(t, startGateway(t), func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodDelete {
			return false
		}
		w.WriteHeader(http.StatusForbidden)
		return true
	})
	if err := output(t, newStore(t, nil), gateway.URL("videos", "out")).Check(t.Context()); err != nil {
		t.Fatal(err)
	}
}
