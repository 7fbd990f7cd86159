// Package openai reads the requests of the OpenAI API and writes its replies. What a request asks for and Shoal
// cannot give is an error that names the field; nothing is dropped in silence. The package does no I/O.
package openai
