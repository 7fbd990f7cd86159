// Package chat turns requests into tokens and tokens into replies: it renders a conversation with the model's chat
// template, constrains the answer by grammar where the request asks for it, runs the engine, and takes what comes out
// apart into text, reasoning and tool calls.
package chat
