// Package template makes prompts with the Jinja chat templates that models bring along, as transformers would.
//
// The language is minijinja's; what Python has and minijinja has not (methods of strings and dicts, strftime) is
// added here. Of the 195 prompts under testdata/golden it makes 195. Two others were tried against the same prompts:
// ardanlabs/jinja v1.1.0, made for chat templates, makes 65 (it keeps the whitespace around tags, writes JSON with
// sorted keys, and takes what it does not know for nothing, in silence), and gonja v2 makes 113 (dicts without order,
// JSON with other spaces). Neither bounds anything: both die of a stack overflow, which no Go program can catch, on one
// template of a well-known model.
//
// A template comes out of a stranger's file: a render is bounded in steps and output here, in time and memory by the
// package renderer, and can reach nothing but its variables.
package template
