// Package storage reads sources and writes outputs. It is the only part of
// Millrace that opens what a user's URL names; ffmpeg never does.
//
// # Places
//
// [ParseInput] and [ParseOutput] turn a URL into a [Location] or say in a
// sentence what is wrong with it. [Location.Redacted] is for logs and answers,
// [Location.String] has the secrets and is what gets sealed.
//
// # Sources
//
// [Store.OpenSource] gives a [Source]: random access to the bytes of an http,
// https, s3 or file URL, whatever the server can do. Ranged servers are read in
// blocks, which lie in a cache on local disk that all tasks of the node share;
// a block is fetched once however many ask for it. A server without ranges is
// downloaded once, whole. Every read is checked against the source's identity,
// so a source that changes under a job fails it (job.InputChanged) rather than
// mix two versions. ffmpeg reads a Source through a [Loopback], a server on
// 127.0.0.1 that gives each Source an unguessable URL and remembers why it
// failed, since ffmpeg can only say "Input/output error":
//
//	store, err := storage.New(storage.Config{CacheDir: dir})
//	source, err := store.OpenSource(ctx, location)
//	defer source.Close()
//	served := loopback.Serve(source)
//	defer served.Release()
//	err = runFFmpeg(ctx, "-i", served.URL())
//	if failure := served.Failure(); failure != nil { … } // the real reason
//
// # Outputs
//
// [Store.OpenOutput] gives an [Output]: a prefix in an S3 bucket or a folder
// under an output root. A Put that returns nil is durable and whole: S3 has
// answered, or the file is synced, renamed into place, and its folder synced.
//
// # Promises
//
//   - What a user can act on ends as a *job.Failure, found with errors.As. The
//     end of the caller's context ends as the context's own error.
//   - Trouble that may pass (a reset, a 503, a stall) is retried with backoff
//     for [Retry.Budget], from the byte where it stopped.
//   - No connection is made to an address that [DialRules] refuses, whatever
//     name, redirect or DNS answer led there; the rules look at the address
//     that is about to be dialled. S3 endpoints named by a user count too.
//   - An operator's credentials are never sent to an endpoint that a user named.
//   - Messages and logs hold no secrets.
package storage
