// Package template makes prompts with the Jinja chat templates that models bring along, as transformers would.
//
// The language is minijinja's; what Python has and minijinja has not (methods of strings and dicts, strftime) is
// added here. A template comes out of a stranger's file, so a render is bounded in steps, time and output, and can
// reach nothing but its variables.
package template
