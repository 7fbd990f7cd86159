// Package schedule runs many requests at once over one model: a Chain is its windows in a row as a pipeline, a
// Scheduler decides which rows of which requests go into the next batch.
//
// The vocabulary: a job is one request. It waits in the queue until it is admitted, which gives it a slot: a
// sequence number of the windows and a share of the KV cache. A flight is a batch under way through the chain; it
// carries parts, each a run of rows of one job. A slot whose job has ended keeps its tokens cached, so that the
// next job of the same requester with the same beginning need not run them again. Windows of other nodes are a Pipe,
// which holds several batches; over one, a lone job may carry drafts: guessed tokens that the last window checks.
//
// Locks: Scheduler.mu guards every job and slot, and is taken before Chain.mu (a batch is submitted with it held, so
// that the book and the order of batches agree). Neither is held while a window runs a step, while a caller's emit is
// called, or while a Guesser thinks (its name is asked for with Scheduler.mu held). Batches come back over a channel that has room for all of them, so that a chain
// never waits for the scheduler.
package schedule
