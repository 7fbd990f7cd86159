// Package model decides what the screen shows: plain values made from what the node reports, without any drawing.
// Words are English keys; whoever draws them looks up the translation.
package model
