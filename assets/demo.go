package assets

import _ "embed"

// DemoName is the file name of the demo model; its model id is made from it.
const DemoName = "shoal-demo.gguf"

// Demo is a very small model that answers a few questions about Shoal: what a new user talks to before there is a
// real model, and what the node tests itself with. packaging/demo trains it.
//
//go:embed demo/shoal-demo.gguf
var Demo []byte
