package model

import "github.com/shoal-p2p/shoal/daemon/admin"

// demoID is the id that the node makes from assets.DemoName.
const demoID = "shoal-demo"

// IsDemo tells whether m is the demo model, which can only answer what it was trained on.
func IsDemo(m admin.ModelInfo) bool { return m.ID == demoID }
