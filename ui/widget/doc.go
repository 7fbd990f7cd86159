// Package widget holds the pieces Shoal's pages are made of. A widget draws what it is given and calls back; it
// decides nothing and knows no other part of the program but its view-model.
package widget
