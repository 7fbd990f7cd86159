// Package core holds the words of Shoal: models, shards, layer ranges, digests, errors, events and the shapes
// in which the node reports them. It imports the standard library only, and everything else may import it.
package core
