package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"millrace/cluster"
)

const webhooksPath = "/api/v1/default/webhooks/"

func (f *fixture) createWebhook(address, secret string) string {
	f.t.Helper()
	got := f.want(http.StatusCreated, f.do("default/admin", "POST", webhooksPath, fmt.Sprintf(`{"url":%q,"secret_token":%q}`, address, secret)))
	return got.members(f.t)["id"].(string)
}

func TestWebhookIsShownAsItWasMade(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Random = &fixedRandom{} })
	made := f.want(http.StatusCreated, f.do("default/admin", "POST", webhooksPath, `{"url":"https://example.com/hook?a=b","secret_token":"hush"}`))
	golden(t, "webhook.json", made.body)
	if read := f.want(http.StatusOK, f.do("default/admin", "GET", made.header.Get("Location"), "")); read.body != made.body {
		t.Errorf("read back %s", read.body)
	}
	hiding := f.want(http.StatusOK, f.do("default/submit", "GET", made.header.Get("Location"), ""))
	if hiding.members(t)["secret_token"] != "***" {
		t.Errorf("a key that isn't an admin's sees %s", hiding.body)
	}
	listed := f.want(http.StatusOK, f.do("default/read", "GET", webhooksPath, ""))
	if strings.Contains(listed.body, "hush") || listed.members(t)["count"] != 1.0 {
		t.Errorf("listed %s", listed.body)
	}
	if bytes.Contains(f.peer.Stale().Webhooks("default")[0].Secret, []byte("hush")) {
		t.Error("the state holds the secret in the clear")
	}
}

func TestBadWebhooksAreRefused(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct{ body, field string }{
		{`{}`, "url"},
		{`{"url":"https://e.com/"}`, "secret_token"},
		{`{"url":"https://e.com/","secret_token":""}`, "secret_token"},
		{`{"url":"https://e.com/","secret_token":null}`, "secret_token"},
		{`{"url":"https://e.com/","secret_token":"a\nb"}`, "secret_token"},
		{`{"url":"https://e.com/","secret_token":"` + strings.Repeat("x", 256) + `"}`, "secret_token"},
		{`{"url":"https://e.com/","secret_token":"s","events":[]}`, "events"},
		{`{"url":"ftp://e.com/","secret_token":"s"}`, "url"},
		{`{"url":"e.com","secret_token":"s"}`, "url"},
		{`{"url":"https:///path","secret_token":"s"}`, "url"},
		{`{"url":"https://u:p@e.com/","secret_token":"s"}`, "url"},
		{`{"url":"https://e.com/ x","secret_token":"s"}`, "url"},
		{`{"url":"https://e.com/\r\nX: y","secret_token":"s"}`, "url"},
		{`{"url":"https://e.com/%zz","secret_token":"s"}`, "url"},
		{`{"url":"https://e.com/` + strings.Repeat("x", 2048) + `","secret_token":"s"}`, "url"},
		{`{"url":7,"secret_token":"s"}`, "url"},
	} {
		got := f.want(http.StatusBadRequest, f.do("default/admin", "POST", webhooksPath, c.body))
		if got.members(t)[c.field] == nil {
			t.Errorf("%.100s: %s isn't named: %s", c.body, c.field, got.body)
		}
	}
}

func TestReplacedSecretStaysGoodForADay(t *testing.T) {
	f := newFixture(t)
	id := f.createWebhook("https://example.com/a", "old")
	f.clock.advance(time.Hour)
	put := f.want(http.StatusOK, f.do("default/admin", "PUT", webhooksPath+id+"/", `{"url":"https://example.com/b","secret_token":"new"}`))
	if put.members(t)["secret_token"] != "new" || put.members(t)["url"] != "https://example.com/b" {
		t.Errorf("got %s", put.body)
	}
	stored, _ := f.peer.Stale().Webhook("default", id)
	previous, err := f.peer.Keyring().Open(stored.PreviousSecret, SecretContext)
	if err != nil || string(previous) != "old" || !stored.PreviousUntil.Equal(noon.Add(25*time.Hour)) {
		t.Errorf("the previous secret is %q until %v: %v", previous, stored.PreviousUntil, err)
	}
	f.clock.advance(time.Hour)
	f.want(http.StatusOK, f.do("default/admin", "PUT", webhooksPath+id+"/", `{"url":"https://example.com/c","secret_token":"new"}`))
	if same, _ := f.peer.Stale().Webhook("default", id); !same.PreviousUntil.Equal(stored.PreviousUntil) || !bytes.Equal(same.Secret, stored.Secret) {
		t.Error("putting the same secret again rotated it")
	}
}

func TestPausedWebhookSaysSoUntilItIsPut(t *testing.T) {
	f := newFixture(t)
	id := f.createWebhook("https://example.com/a", "s")
	paused, _ := f.peer.Stale().Webhook("default", id)
	changed := *paused
	changed.Paused = "It answered 410 Gone."
	f.propose(cluster.PutWebhook{Webhook: changed})
	if got := f.do("default/admin", "GET", webhooksPath+id, ""); got.members(t)["paused"] != "It answered 410 Gone." {
		t.Errorf("got %s", got.body)
	}
	if got := f.do("default/admin", "PUT", webhooksPath+id, `{"url":"https://example.com/a","secret_token":"s"}`); got.members(t)["paused"] != nil {
		t.Errorf("got %s", got.body)
	}
}

func TestDeletedWebhookIsGone(t *testing.T) {
	f := newFixture(t)
	id := f.createWebhook("https://example.com/a", "s")
	if got := f.want(http.StatusNoContent, f.do("default/admin", "DELETE", webhooksPath+id+"/", "")); got.body != "" {
		t.Errorf("got %q", got.body)
	}
	f.want(http.StatusNotFound, f.do("default/admin", "GET", webhooksPath+id+"/", ""))
	f.want(http.StatusNotFound, f.do("default/admin", "DELETE", webhooksPath+id+"/", ""))
}

func TestWebhooksAreBounded(t *testing.T) {
	f := newFixture(t)
	for i := range maxWebhooks {
		f.createWebhook(fmt.Sprintf("https://example.com/%d", i), "s")
	}
	got := f.want(http.StatusConflict, f.do("default/admin", "POST", webhooksPath, `{"url":"https://e.com/","secret_token":"s"}`))
	if got.members(t)["code"] != "too_many_webhooks" {
		t.Errorf("got %s", got.body)
	}
}

func TestDeliveriesAreLoggedAndRedelivered(t *testing.T) {
	f := newFixture(t)
	id := f.createWebhook("https://example.com/a", "s")
	made := f.create("delivered")
	f.start(made.ID)
	var event *cluster.Event
	for event = range f.peer.Stale().Outbox() {
		break
	}
	if event == nil {
		t.Fatal("the change of status is not in the outbox")
	}
	f.propose(cluster.RecordDelivery{Event: event.Number, Done: true, Delivery: cluster.Delivery{
		At: noon, Elapsed: 250 * time.Millisecond, StatusCode: 500, Error: "HTTP 500", NextAt: noon.Add(time.Minute),
	}})
	got := f.want(http.StatusOK, f.do("default/read", "GET", webhooksPath+id+"/deliveries/?page_size=100", ""))
	var listed page[deliveryView]
	if err := json.Unmarshal([]byte(got.body), &listed); err != nil {
		t.Fatal(err)
	}
	var logged *deliveryView
	for i := range listed.Results {
		if listed.Results[i].ID == event.ID {
			logged = &listed.Results[i]
		}
	}
	if logged == nil || !logged.Done || logged.Job != made.ID || len(logged.Attempts) != 1 || *logged.Attempts[0].StatusCode != 500 || logged.Attempts[0].ElapsedSeconds != 0.25 {
		t.Fatalf("got %s", got.body)
	}
	again := webhooksPath + id + "/deliveries/" + event.ID + "/redeliver/"
	f.want(http.StatusAccepted, f.do("default/admin", "POST", again, ""))
	due := false
	for waiting := range f.peer.Stale().Outbox() {
		due = due || waiting.ID == event.ID
	}
	if !due {
		t.Error("the event isn't due again")
	}
	f.want(http.StatusNotFound, f.do("default/admin", "POST", webhooksPath+id+"/deliveries/evt_999999/redeliver/", ""))
	f.want(http.StatusNotFound, f.do("default/admin", "POST", webhooksPath+id+"/deliveries/x/redeliver/", ""))
}
