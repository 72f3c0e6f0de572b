// Package api is Millrace's REST API: the requests that clients send, checked
// and turned into commands of package cluster, and the state shown back as
// JSON, as a page or as a stream of events. It is a drop-in for clients of
// TPStreams' transcoding API; openapi.json says what it takes and gives.
//
//	server, err := api.New(api.Config{State: peer, Sealer: keyring, …})
//	err = api.Serve(ctx, listener, server) // until ctx ends
//
// One request's way: [Server.ServeHTTP] gives it an own deadline, catches
// panics and counts it; the route table in routes.go finds its endpoint; auth.go
// takes one view of the state and finds the key in it, so that a request sees
// one state from its first check to its answer; the endpoint reads from that
// view or proposes a command. Endpoints return errors; problem.go turns them
// into application/problem+json in one place.
//
// A request's body is checked against the very schemas of openapi.json, which
// is embedded: schema.go reads them at start-up, refuses to start if the
// document uses a keyword that it doesn't enforce, and says what is wrong with
// each field in a sentence. What a schema can't say (that a URL can be written
// to, that a key was used before) is checked by hand in the endpoint.
//
// What belongs to another organisation is answered exactly like what doesn't
// exist.
package api
