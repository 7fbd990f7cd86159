//go:build linux || windows

package hardware

import (
	"context"
	"encoding/csv"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// nvidia asks the tool of the NVIDIA driver, which knows name and memory of its cards.
func nvidia(ctx context.Context) []GPU {
	path, err := exec.LookPath("nvidia-smi")
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--query-gpu=name,memory.total,memory.used", "--format=csv,noheader,nounits")
	hideWindow(cmd)
	out, err := cmd.Output()
	if err != nil {
		return nil
	}
	return parseNvidia(string(out))
}

// parseNvidia reads lines of name, total MiB, used MiB. A line of another form is left out.
func parseNvidia(text string) []GPU {
	r := csv.NewReader(strings.NewReader(text))
	r.TrimLeadingSpace = true
	r.FieldsPerRecord = -1
	records, err := r.ReadAll()
	if err != nil {
		return nil
	}
	var out []GPU
	for _, rec := range records {
		if len(rec) != 3 {
			continue
		}
		total, err1 := strconv.ParseInt(strings.TrimSpace(rec[1]), 10, 32)
		used, err2 := strconv.ParseInt(strings.TrimSpace(rec[2]), 10, 32)
		if err1 == nil && err2 == nil && total >= 0 && used >= 0 {
			out = append(out, GPU{rec[0], total * MiB, used * MiB})
		}
	}
	return out
}
