// Package grammar writes the GBNF grammars that make a model answer in JSON, by a JSON schema, or with a tool call.
//
// A grammar may allow less than the schema does, never more: an object with named properties has those and no
// others unless additionalProperties says so, properties come in the order of the schema, and lengths are bounded.
// A keyword that cannot be kept is an error that names it.
package grammar
