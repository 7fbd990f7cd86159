// Package jinja renders the chat templates that models bring along, as Python's jinja2 does under transformers.
//
// A template comes out of a stranger's file and its input from a stranger's request, so two things are built in that
// template libraries lack. Work is bounded: steps, bytes, nesting and time all have limits, nothing can do I/O, and
// no template can crash the process. And text knows where it came from: every string carries which of its bytes were
// written by a user, through slicing, trimming, joining and tojson, so that the tokenizer can later read markers such
// as <|im_end|> only where the template itself wrote them.
package jinja
