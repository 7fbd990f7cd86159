package model

import (
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/assets"
	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
)

func TestDemoIsKnownByTheIDOfItsFile(t *testing.T) {
	id, err := core.ModelIDFromFile(assets.DemoName)
	if err != nil {
		t.Fatal(err)
	}
	if !IsDemo(admin.ModelInfo{ID: id.String()}) {
		t.Errorf("%s is not known to be the demo", id)
	}
	if IsDemo(admin.ModelInfo{ID: "llama"}) {
		t.Error("any model is the demo")
	}
}

func TestDemoAnswersWithoutChance(t *testing.T) {
	for id, chance := range map[string]bool{demoID: false, "llama": true} {
		var c Conversation
		req := c.Ask("What is Shoal?", admin.ModelInfo{ID: id}, time.Now())
		if got := req.Sampling.Temperature > 0; got != chance {
			t.Errorf("%s is asked with temperature %v", id, req.Sampling.Temperature)
		}
	}
}
