// Package pipeline runs a model as a chain of windows on several nodes.
//
// README.md has the protocol, its limits and the order of locks.
//
// The vocabulary: the host is the node whose user asks; a stage is a node that runs a window for it. A session is one
// host's use of a chain: a ring of ordered streams, host → first stage → … → last stage → host, along which batches
// travel. Each stage opens the stream to the next; the host opens the one on which the last stage answers, so that
// nobody can be made to run a chain in another's name. Against the direction of the ring, each stage tells its host
// that it lives (a beat) and what went wrong (a fault).
//
// The host's part of the ring is a Pipe, which a schedule.Chain takes as one window: batches of many requests, prefix
// reuse and chunked prompts work as they do on windows of this PC, and as many batches are under way as the stages
// granted credits. A Runner keeps a chain up: when a peer is lost it asks its Planner for another and goes on with
// every request where it was. So that this does not wait for windows to load, it asks beforehand what the planner would
// choose then, and has those nodes keep the windows warm where they have room.
//
// A window serves several hosts at once: a station runs what waits from their sessions in one step, decode rows before
// parts of prompts, and hands each session what came of its own rows, as if it had been alone.
//
// Rows of hidden states travel as float32, with which a reply at temperature 0 is the whole model's, on whatever chain and
// whichever takes over. Where the host's user wants it and the model bears it they travel as half floats: a node may send
// them so, and does not when one of a batch does not fit. A reply may then differ where two tokens are nearly as likely,
// also from the one that another chain goes on with. Token ids travel to the stage that embeds them and to the
// one that samples; drafts of a speculative step, and the sampler with its grammar, pass the stages between.
package pipeline
