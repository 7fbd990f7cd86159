package model

import "github.com/shoal-p2p/shoal/daemon/admin"

// Segment kinds of a Gauge; each has one colour everywhere.
const (
	SegmentOthers = "others" // games and other programs
	SegmentOurs   = "ours"   // models in memory
	SegmentFree   = "free"
)

// Segment is one part of a Gauge, in bytes.
type Segment struct {
	Kind  string
	Label Text
	Bytes int64
}

// Gauge is a stacked bar of memory. A Gauge without Total is not drawn; Missing says why.
type Gauge struct {
	Title    Text
	Subtitle string // the name of the device
	Summary  Text
	Total    int64
	Segments []Segment
	Missing  Text
}

func gpuGauge(s *Snapshot) Gauge {
	hw := s.Stats.Hardware
	g := Gauge{Title: T("Graphics memory"), Subtitle: Line(hw.GPUName, 60)}
	if hw.GPUVRAMMB == 0 {
		g.Missing = T("No graphics card that models can use was found. They run on the processor.")
		return g
	}
	ours := int64(0)
	if hw.GPUInference {
		ours = loadedMB(s)
	}
	return stacked(g, hw.GPUVRAMMB, hw.GPUVRAMUsedMB, ours)
}

func ramGauge(s *Snapshot) Gauge {
	hw := s.Stats.Hardware
	g := Gauge{Title: T("Memory"), Subtitle: Line(hw.CPUName, 60)}
	if hw.TotalRAMMB == 0 {
		g.Missing = T("The memory of this PC could not be measured.")
		return g
	}
	ours := hw.ProcessRSSMB
	if !hw.GPUInference {
		ours = max(ours, loadedMB(s))
	}
	return stacked(g, hw.TotalRAMMB, hw.UsedRAMMB, ours)
}

// diskLeft says how much room for models there is; nothing where it could not be measured.
func diskLeft(s *Snapshot) Text {
	if s.Stats.Hardware.TotalDiskMB == 0 {
		return Text{}
	}
	return T("{{.Free}} free on the disk", "Free", MiB(s.Stats.Hardware.AvailableDiskMB))
}

// coarse is the step, as a part of the whole, in which memory is shown: a figure that trembles draws the eye, and the
// whole window.
const coarse = 200

// stacked fills a gauge from figures in MiB. Ours is part of used; an estimate larger than what is used is cut.
func stacked(g Gauge, total, used, ours int64) Gauge {
	used = min(max(rounded(used, total/coarse), 0), total)
	ours = min(max(rounded(ours, total/coarse/4), 0), used)
	g.Total = total * mib
	g.Summary = T("{{.Free}} free of {{.Total}}", "Free", MiB(total-used), "Total", MiB(total))
	g.Segments = []Segment{
		{SegmentOthers, T("Games and others"), (used - ours) * mib},
		{SegmentOurs, T("Shoal"), ours * mib},
		{SegmentFree, T("Free"), (total - used) * mib},
	}
	return g
}

// rounded is n to the nearest multiple of step.
func rounded(n, step int64) int64 {
	if step <= 1 {
		return n
	}
	return (n + step/2) / step * step
}

func loadedMB(s *Snapshot) int64 {
	var sum int64
	for _, m := range s.Models {
		if m.Status == admin.StatusLoaded {
			sum += m.EstimatedVRAMMB
		}
	}
	return sum
}
