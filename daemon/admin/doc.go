// Package admin holds the shapes of the admin API: what its requests and answers look like as JSON. It imports the words
// of core only, so that the node, its clients and the screen may share them.
package admin
