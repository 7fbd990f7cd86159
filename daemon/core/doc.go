// Package core holds the words of Shoal: models, shards, layer ranges, digests, errors and events. It imports the standard library only, and everything else may import it.
package core
