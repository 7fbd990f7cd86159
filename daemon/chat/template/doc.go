// Package template turns a conversation into a prompt with the model's own chat template.
package template
