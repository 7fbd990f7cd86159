package admin

import (
	"encoding/json"
	"testing"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Nobody let the founder in: its entry must come through JSON as those of the others do.
func TestTheFounderIsAMemberToo(t *testing.T) {
	id, err := core.ParsePeerID("12D3KooWSgpJVnjaecg7ZTSW5AjhwRBfb9xvoME2HbV7uo8wDCH4")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []Member{{NodeID: id, Role: RoleFounder}, {NodeID: id, Role: RoleMember, AdmittedBy: id.String()}} {
		data, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got Member
		if err := json.Unmarshal(data, &got); err != nil || got != want {
			t.Errorf("%s came back as %+v, %v", data, got, err)
		}
	}
}
