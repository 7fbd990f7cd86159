package apitest

// Target is a running API that a suite of client tests is pointed at. The suites hold for any node, scripted or
// real, so they expect the form of a reply and not its words.
type Target struct {
	URL   string // "http://127.0.0.1:8800"
	Key   string
	Model string // a model that can answer
}
