package admin

import (
	"fmt"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

// ClockWorthTelling is the difference of two clocks from which on the user is told.
const ClockWorthTelling = 30 * time.Second

// CompareClocks tells whose clock differs from this PC's, among those that are connected; the error has code
// CodeConflict. Where most do, this PC's own clock is wrong.
func CompareClocks(members []Member) (string, error) {
	heard, differ, own := 0, []string(nil), time.Duration(0)
	for _, m := range members {
		if m.Self || m.Connection == ConnectionNone {
			continue
		}
		heard++
		if ahead := time.Duration(m.ClockOffsetS * float64(time.Second)); ahead.Abs() >= ClockWorthTelling {
			differ, own = append(differ, fmt.Sprintf("%s by %s", m.Nickname, ahead)), -ahead
		}
	}
	if len(differ) == 0 {
		return fmt.Sprintf("compared with %d PCs", heard), nil
	}
	hint := "Set the clock of the PC that is wrong; let it follow a time server."
	if heard > 1 && 2*len(differ) > heard {
		return "", core.Errorf(core.CodeConflict, "the clock of this PC is ahead of %d of %d others by %s", len(differ), heard, own).WithHint(hint)
	}
	return "", core.Errorf(core.CodeConflict, "the clocks of other PCs are ahead: %s", strings.Join(differ, ", ")).WithHint(hint)
}
