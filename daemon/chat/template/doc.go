// Package template makes prompts with the Jinja chat templates that models bring along, as transformers would.
//
// The language is minijinja's; what Python has and minijinja has not (methods of strings and dicts, strftime) is
// added here. Of the 195 prompts under testdata/golden it makes 195. Two others were tried against the same prompts:
// ardanlabs/jinja v1.1.0, made for chat templates, makes 65 (it keeps the whitespace around tags, writes JSON with
// sorted keys, and takes what it does not know for nothing, in silence), and gonja v2 makes 113 (dicts without order,
// JSON with other spaces). Neither bounds anything: both die of a stack overflow, which no Go program can catch, on one
// template of a well-known model.
//
// A template comes out of a stranger's file, and none of these libraries can be bounded in memory or ended from
// outside: a text can be doubled in a capture, a with, a loop, a macro's argument, a join, a replace. So a render is
// done by a Process, a second copy of the program that can reach nothing but its variables, looks at its own memory
// every two milliseconds, and is ended when its time is over or its client leaves. Between renders it stays warm. Steps,
// output and the source's size are bounded besides, so that most bad templates end with a reason and not with a kill.
//
// A node and its renderer exchange frames over the renderer's standard input and output: four bytes of length, big
// end first, then JSON, a question or an answer of frame.go. The renderer first writes one byte, R.
package template
