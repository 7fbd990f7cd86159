package pipeline

import (
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// Serving tells whether windows of this node run something for other hosts, or did so just now.
func (s *Server) Serving() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.stations {
		if st.servesOther(s.cfg.Network.Self()) {
			return true
		}
	}
	return false
}

func (st *station) servesOther(self core.PeerID) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, sh := range st.users {
		if sh.peer != self && time.Since(sh.used) < activeFor {
			return true
		}
	}
	return false
}
