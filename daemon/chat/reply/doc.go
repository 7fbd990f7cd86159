// Package reply takes a model's output apart while it streams: text, reasoning between <think> marks, and tool calls
// in the notations of the common model families. How the bytes arrive in pieces makes no difference to the result.
package reply
