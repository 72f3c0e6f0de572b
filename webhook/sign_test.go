package webhook

import (
	"encoding/base64"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"millrace/cluster"
	"millrace/job"
)

func TestReceiverVerifiesTheSignatureWithTheStandardLibraryOfWebhooks(t *testing.T) {
	standard := "whsec_" + base64.StdEncoding.EncodeToString([]byte("24 random bytes, or more"))
	for _, secret := range []string{standard, "any words", "whsec_not base64!", "whsec_"} {
		t.Run(secret, func(t *testing.T) {
			e := serve(t, nil)
			state := newMemory()
			state.put("default", "w", e.url, secret)
			state.add(aJob("default", "job", job.Queued))
			start(t, Config{State: state})
			state.settled(t)

			var receiver *standardwebhooks.Webhook
			var err error
			if secret == standard {
				receiver, err = standardwebhooks.NewWebhook(secret)
			} else {
				receiver, err = standardwebhooks.NewWebhookRaw([]byte(secret))
			}
			if err != nil {
				t.Fatal(err)
			}
			got := e.all()[0]
			if err := receiver.Verify(got.body, got.header); err != nil {
				t.Error(err)
			}
			got.body[0] = '['
			if receiver.Verify(got.body, got.header) == nil {
				t.Error("a changed body was taken for genuine")
			}
		})
	}
}

func TestBothSecretsSignWhileOneIsRotated(t *testing.T) {
	for _, test := range []struct {
		name  string
		until time.Duration
		old   bool
	}{
		{"while both are valid", time.Hour, true},
		{"after the old one has ended", -time.Hour, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := serve(t, nil)
			state := newMemory()
			state.put("default", "w", e.url, "new")
			state.change("w", func(w *cluster.Webhook) {
				w.PreviousSecret, w.PreviousUntil = []byte("old"), time.Now().Add(test.until)
			})
			state.add(aJob("default", "job", job.Queued))
			start(t, Config{State: state})
			state.settled(t)

			got := e.all()[0]
			for secret, valid := range map[string]bool{"new": true, "old": test.old, "other": false} {
				receiver, err := standardwebhooks.NewWebhookRaw([]byte(secret))
				if err != nil {
					t.Fatal(err)
				}
				if err := receiver.Verify(got.body, got.header); (err == nil) != valid {
					t.Errorf("with the secret %q: %v", secret, err)
				}
			}
			if token := got.header.Get(tokenHeader); token != "new" {
				t.Errorf("the token is %q", token)
			}
		})
	}
}
