// Package transfer brings shards from other nodes and gives them to other nodes.
//
// A Server answers /shoal/shard/1: the manifest of a model, the header of its file, and chunks of its shards with the
// proof that each is what the manifest says. A Manager keeps the queue of what this node wants. It takes the rarest
// shard first, from several sources at once, near ones before far ones, and nothing is written that is not proved.
// After a crash it goes on where it was.
package transfer

import "time"

// Protocol is the name under which nodes ask each other for shards.
const Protocol = "/shoal/shard/1"

// Bounds of the protocol.
const (
	maxStreams     = 64 // at a server
	maxPeerStreams = 4  // of them by one peer
	defaultSlots   = 8  // requests served at once
	maxRequest     = 64 // chunks of one request
	maxProof       = 28
	requestTime    = 15 * time.Second // for a request to come in whole, and between two
	stallTime      = 10 * time.Second // for the other side to take or give anything
	slowest        = 4 << 10          // bytes a second below which a source is of no use
	wholePart      = 1 << 20          // bytes of a frame of a manifest or header
)
