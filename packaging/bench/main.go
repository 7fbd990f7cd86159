// Command bench measures Shoal against plain llama.cpp: the same libraries, the same model, the same machine, in one
// run. It prints a table and writes the figures as JSON.
//
// Rounds of Shoal and of the reference alternate, and the median of their ratios counts, so that a machine that slows
// down slows both. A ratio above 1 means that Shoal is the better of the two, whatever the unit.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"github.com/shoal-p2p/shoal/daemon/gguf/gguftest"
)

// row is one line of the table and one object of the JSON file.
type row struct {
	Name      string  `json:"name"`
	Ours      float64 `json:"ours"`
	Reference float64 `json:"reference"`
	Ratio     float64 `json:"ratio"`
	Unit      string  `json:"unit"`
}

// referenceVerb makes the program run one reference task, given as JSON on its input, and print the figures.
const referenceVerb = "reference"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := start(ctx, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func start(ctx context.Context, args []string) error {
	if len(args) == 1 && args[0] == referenceVerb {
		return referenceProcess(os.Stdin, os.Stdout)
	}
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	out := flags.String("out", "build/bench.json", "file for the figures")
	rounds := flags.Int("rounds", 3, "rounds of each measurement; the median counts")
	work := flags.String("work", filepath.Join(os.TempDir(), "shoal-bench"), "folder for the generated model, kept between runs")
	libs := flags.String("runtime", os.Getenv("SHOAL_RUNTIME"), "folder of the llama.cpp libraries")
	if err := flags.Parse(args); err != nil {
		return err
	}
	model, err := benchModel(*work)
	if err != nil {
		return err
	}
	rows, err := measure(ctx, plan{model: model, work: *work, runtime: *libs, rounds: *rounds, prompt: 512, tokens: 96})
	if err != nil {
		return err
	}
	printTable(os.Stdout, rows)
	text, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(*out, append(text, '\n'), 0o644)
}

func referenceProcess(in io.Reader, out io.Writer) error {
	var t task
	if err := json.NewDecoder(in).Decode(&t); err != nil {
		return fmt.Errorf("read the task: %w", err)
	}
	f, err := reference(t)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(f)
}

// runReference starts a process for the task, so that its memory is gone afterwards and its threads disturb nobody.
func runReference(ctx context.Context, t task) (figures, error) {
	var f figures
	self, err := os.Executable()
	if err != nil {
		return f, err
	}
	read, write := io.Pipe()
	go func() { write.CloseWithError(json.NewEncoder(write).Encode(t)) }()
	cmd := exec.CommandContext(ctx, self, referenceVerb)
	cmd.Stdin, cmd.Stderr = read, os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return f, fmt.Errorf("reference: %w", err)
	}
	return f, json.Unmarshal(text, &f)
}

// benchModel makes the model of 1.1 billion random weights, once.
func benchModel(work string) (string, error) {
	if err := os.MkdirAll(work, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(work, "bench-1b-q4-k-m.gguf")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	fmt.Println("making the model …")
	temp := path + ".part"
	if err := gguftest.WriteFile(temp, gguftest.Bench()); err != nil {
		return "", err
	}
	return path, os.Rename(temp, path)
}

func printTable(out io.Writer, rows []row) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "name\tours\treference\tratio\tunit\t")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%.3f\t%s\t\n", r.Name, r.Ours, r.Reference, r.Ratio, r.Unit)
	}
	_ = w.Flush() // an output that is gone needs no table
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
