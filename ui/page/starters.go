package page

import (
	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/ui/model"
)

// starterCount is how many questions startersOf gives.
const starterCount = 3

// startersOf are questions to start a conversation with m, which m can answer.
func startersOf(m admin.ModelInfo) [starterCount]model.Text {
	if model.IsDemo(m) {
		return [starterCount]model.Text{model.T("What is Shoal?"), model.T("How do I add a model?"), model.T("Who can read my prompts?")}
	}
	return [starterCount]model.Text{model.T("Explain how a language model writes"), model.T("Write a haiku about the sea"), model.T("What can I ask you?")}
}
