package api

import (
	"net/http"
	"net/url"
	"strconv"
)

const (
	defaultPageSize = 20
	maxPageSize     = 100
)

// pageRequest is which page of a list is wanted.
type pageRequest struct {
	number int // from 1
	size   int
}

// parsePage reads page and page_size. A size beyond the largest gets the
// largest, as in the original API.
func parsePage(query url.Values, wrong fieldErrors) pageRequest {
	return pageRequest{
		number: positive(query, "page", 1, wrong),
		size:   min(maxPageSize, positive(query, "page_size", defaultPageSize, wrong)),
	}
}

func positive(query url.Values, name string, otherwise int, wrong fieldErrors) int {
	given := query.Get(name)
	if given == "" {
		return otherwise
	}
	value, err := strconv.ParseInt(given, 10, 32)
	if err != nil || value < 1 {
		wrong.add(name, "%s is not a number from 1 on.", quote(given))
		return otherwise
	}
	return int(value)
}

// page is a list's answer.
type page[T any] struct {
	Count    int     `json:"count"`
	Next     *string `json:"next"`
	Previous *string `json:"previous"`
	Results  []T     `json:"results"`
}

// writePage answers with one page of items, shown by show.
func writePage[Item, Shown any](s *Server, c *call, wanted pageRequest, items []Item, show func(Item) Shown) error {
	start := (wanted.number - 1) * wanted.size
	if start > 0 && start >= len(items) {
		return &problem{code: "invalid_page", detail: "Invalid page."}
	}
	end := min(start+wanted.size, len(items))
	answer := page[Shown]{Count: len(items), Results: make([]Shown, 0, end-start)}
	for _, item := range items[start:end] {
		answer.Results = append(answer.Results, show(item))
	}
	if end < len(items) {
		answer.Next = pageURL(c.r, wanted.number+1)
	}
	if wanted.number > 1 {
		answer.Previous = pageURL(c.r, wanted.number-1)
	}
	return s.writeJSON(c, http.StatusOK, answer)
}

// pageURL is the address that the client called, with another page number.
func pageURL(r *http.Request, number int) *string {
	address := url.URL{Scheme: "http", Host: r.Host, Path: r.URL.Path}
	if r.TLS != nil {
		address.Scheme = "https"
	}
	query := r.URL.Query()
	query.Set("page", strconv.Itoa(number))
	if number == 1 {
		query.Del("page") // as Django does
	}
	address.RawQuery = query.Encode()
	text := address.String()
	return &text
}
