package webhook

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// tokenHeader carries the secret itself, as the API that Millrace's clients
// were written for does.
const tokenHeader = "x-streams-token"

// secretPrefix marks a secret whose rest is the key in base64, as Standard
// Webhooks has it.
const secretPrefix = "whsec_"

// signingKey is the HMAC key of a webhook's secret token: what follows
// "whsec_", decoded, or the token's own bytes when it isn't of that form.
func signingKey(secret string) []byte {
	if encoded, found := strings.CutPrefix(secret, secretPrefix); found {
		if key, err := base64.StdEncoding.DecodeString(encoded); err == nil && len(key) > 0 {
			return key
		}
	}
	return []byte(secret)
}

// sign sets the headers by which a receiver knows who sent the body. The first
// secret is the current one; each further one is still valid for a while and
// signs too.
func sign(header http.Header, id string, at time.Time, body []byte, secrets ...string) error {
	signatures := make([]string, 0, len(secrets))
	for _, secret := range secrets {
		signer, err := standardwebhooks.NewWebhookRaw(signingKey(secret))
		if err != nil {
			return fmt.Errorf("sign event %s: %w", id, err)
		}
		signature, err := signer.Sign(id, at, body)
		if err != nil {
			return fmt.Errorf("sign event %s: %w", id, err)
		}
		signatures = append(signatures, signature)
	}
	header.Set(tokenHeader, secrets[0])
	header.Set(standardwebhooks.HeaderWebhookID, id)
	header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(at.Unix(), 10))
	header.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))
	return nil
}
