package api

import "github.com/shoal-p2p/shoal/daemon/admin"

// Node is what the API serves.
type Node = admin.Node
