package main

import (
	"io"
	"strings"
	"testing"
)

const called = `{"config":{}}
{"finding":{"osv":"GO-1","fixed_version":"v1.2.0","trace":[{"module":"example.org/a","version":"v1.1.0","function":"F"}]}}
{"finding":{"osv":"GO-2","trace":[{"module":"example.org/b","version":"v1.0.0"}]}}
{"finding":{"osv":"GO-3","fixed_version":"v1.26.9","trace":[{"module":"stdlib","version":"v1.26.8","function":"F"}]}}
{"finding":{"osv":"GO-4","trace":[{"module":"example.org/d","version":"v1.0.0","function":"F"}]}}
`

func TestJudge(t *testing.T) {
	reached, err := read(strings.NewReader(called))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		accepted map[string]string
		want     []string
	}{
		"nothing is accepted":           {nil, []string{"GO-1", "GO-4"}},
		"what nobody mends":             {map[string]string{"GO-4": "harmless"}, []string{"GO-1"}},
		"what a newer version mends":    {map[string]string{"GO-1": "harmless", "GO-4": "harmless"}, []string{"GO-1"}},
		"what nothing reaches any more": {map[string]string{"GO-4": "harmless", "GO-2": "harmless"}, []string{"GO-1", "GO-2"}},
	} {
		err := judge(reached, test.accepted, io.Discard)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, id := range []string{"GO-1", "GO-2", "GO-3", "GO-4"} {
			wanted := strings.Contains(strings.Join(test.want, " "), id)
			if strings.Contains(err.Error(), id) != wanted {
				t.Errorf("%s: %v, want %v", name, err, test.want)
			}
		}
	}
	if err := judge(nil, nil, io.Discard); err != nil {
		t.Errorf("nothing reached: %v", err)
	}
}

func TestReadRefusesHalfALine(t *testing.T) {
	if _, err := read(strings.NewReader(called[:len(called)-20])); err == nil {
		t.Error("half a line was taken")
	}
}
