package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/job"
)

func TestListIsPagedFilteredAndOrdered(t *testing.T) {
	f := newFixture(t)
	var ids []job.ID
	for i := range 5 {
		ids = append(ids, f.create(fmt.Sprint("list", i)).ID)
		f.clock.advance(24 * time.Hour)
	}
	f.start(ids[1])
	f.fail(ids[2])
	newest := slices.Clone(ids)
	slices.Reverse(newest)
	for _, c := range []struct {
		query string
		want  []job.ID
	}{
		{"", newest},
		{"ordering=-created", newest},
		{"ordering=created", ids},
		{"page_size=2", newest[:2]},
		{"page_size=2&page=3", newest[4:]},
		{"page_size=1000", newest},
		{"status=queued", []job.ID{ids[4], ids[3], ids[0]}},
		{"status=TRANSCODING&status=Error", []job.ID{ids[2], ids[1]}},
		{"status=transcoding,error", []job.ID{ids[2], ids[1]}},
		{"status=", newest},
		{"status=Completed", nil},
		{"enable_drm=true", nil},
		{"enable_drm=False", newest},
		{"created_from=2026-11-26", []job.ID{ids[4], ids[3], ids[2]}},
		{"created_to=2026-11-25", []job.ID{ids[1], ids[0]}},
		{"created_from=2026-11-25T12:00:00.034924Z&created_to=2026-11-25T12:00:00.034924Z", []job.ID{ids[1]}},
		{"created_from=2026-11-25T13:00:00.034924+01:00&created_to=2026-11-25T13:00:01%2B01:00", []job.ID{ids[1]}},
		{"created_to=2026-11-24T12:00:00", nil},
		{"created_to=2026-11-24+12:01", []job.ID{ids[0]}},
		{"unknown=1", newest},
	} {
		got := f.want(http.StatusOK, f.do("default/read", "GET", jobsPath+"?"+c.query, ""))
		var listed page[job.View]
		if err := json.Unmarshal([]byte(got.body), &listed); err != nil {
			t.Fatal(err)
		}
		var found []job.ID
		for _, view := range listed.Results {
			found = append(found, view.ID)
		}
		if !slices.Equal(found, c.want) {
			t.Errorf("%s: got %v, want %v", c.query, found, c.want)
		}
	}
}

func TestPagesLinkToEachOtherAndKeepTheFilters(t *testing.T) {
	f := newFixture(t)
	for i := range 5 {
		f.create(fmt.Sprint("page", i))
	}
	address := jobsPath + "?page_size=2&status=Queued&status=Error&ordering=created"
	seen := map[job.ID]bool{}
	pages := 0
	for address != "" {
		got := f.want(http.StatusOK, f.do("default/read", "GET", address, "", "Host: x"))
		var listed page[job.View]
		if err := json.Unmarshal([]byte(got.body), &listed); err != nil {
			t.Fatal(err)
		}
		if listed.Count != 5 || (listed.Previous == nil) != (pages == 0) {
			t.Errorf("page %d: %s", pages+1, got.body)
		}
		for _, view := range listed.Results {
			seen[view.ID] = true
		}
		pages++
		address = ""
		if listed.Next != nil {
			next, err := url.Parse(*listed.Next)
			if err != nil || next.Host != "example.com" || next.Scheme != "http" || len(next.Query()["status"]) != 2 {
				t.Fatalf("next is %q", *listed.Next)
			}
			address = next.RequestURI()
		}
	}
	if len(seen) != 5 || pages != 3 {
		t.Errorf("%d jobs on %d pages", len(seen), pages)
	}
	beyond := f.want(http.StatusNotFound, f.do("default/read", "GET", jobsPath+"?page=2", ""))
	if beyond.members(t)["detail"] != "Invalid page." {
		t.Errorf("got %s", beyond.body)
	}
}

func TestBadParametersAreNamed(t *testing.T) {
	f := newFixture(t)
	for query, field := range map[string]string{
		"page=0": "page", "page=-1": "page", "page=x": "page", "page=1.5": "page", "page=99999999999": "page",
		"page_size=0": "page_size", "page_size=ten": "page_size",
		"status=done": "status_", "status=Queued,done": "status_", "enable_drm=maybe": "enable_drm",
		"created_from=yesterday": "created_from", "created_to=2026-13-01": "created_to", "created_from=1700000000": "created_from",
		"ordering=id": "ordering", "consistency=some": "consistency",
		"status=" + strings.Repeat("x", 5000): "status_",
	} {
		got := f.want(http.StatusBadRequest, f.do("default/read", "GET", jobsPath+"?"+query, ""))
		if got.members(t)[field] == nil || len(got.body) > 1000 {
			t.Errorf("%s: %s isn't named: %s", query, field, got.body)
		}
	}
}
