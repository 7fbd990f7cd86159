package shard_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/gguf/gguftest"
	"github.com/shoal-p2p/shoal/daemon/shard"
)

// Variables that make the test binary import a file and kill itself, instead of running tests.
const (
	envFile  = "SHOAL_TEST_IMPORT_FILE"
	envDir   = "SHOAL_TEST_IMPORT_DIR"
	envPoint = "SHOAL_TEST_IMPORT_KILL"
)

func TestMain(m *testing.M) {
	if os.Getenv(envFile) != "" {
		importAndDie()
	}
	os.Exit(m.Run())
}

// importAndDie imports and kills its own process where envPoint says: after so many chunks, or while it "sign"s.
func importAndDie() {
	point := os.Getenv(envPoint)
	chunks, _ := strconv.Atoi(point)
	c := shard.Config{Dir: os.Getenv(envDir), Key: deadly{testKey(), point == "sign"}}
	_, err := shard.NewStore(c).Import(context.Background(), shard.Import{Path: os.Getenv(envFile), Progress: func(int64, int64) {
		if chunks--; chunks == 0 {
			killSelf()
		}
	}})
	fmt.Println(err)
	os.Exit(0)
}

func killSelf() {
	p, _ := os.FindProcess(os.Getpid())
	_ = p.Kill()
	select {}
}

// deadly is a signer whose process dies when it should sign.
type deadly struct {
	signer
	die bool
}

func (d deadly) Public() ed25519.PublicKey { return d.signer.Public() }

func (d deadly) Sign(m []byte) []byte {
	if d.die {
		killSelf()
	}
	return d.signer.Sign(m)
}

// crash runs an import that is killed at a point, or after a while if the point is empty.
func crash(t *testing.T, path, dir, point string, after time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envFile+"="+path, envDir+"="+dir, envPoint+"="+point)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if point == "" {
		kill := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
	}
	err := cmd.Wait()
	if point != "" && err == nil {
		t.Fatalf("the import was not killed at %s", point)
	}
}

// crashModel is a model with several chunks per shard, and its shards as an undisturbed import makes them.
func crashModel(t *testing.T) (path string, good *shard.Model) {
	path = model(t, gguftest.Config{Arch: "llama"})
	return path, importFile(t, newStore(t), path)
}

// noPartials checks that every shard file under its final name is whole and right, wherever it lies in dir.
func noPartials(t *testing.T, dir string, good *shard.Model) (finished []string) {
	t.Helper()
	for i := range good.Manifest.Shards {
		want, err := os.ReadFile(good.Path(i))
		if err != nil {
			t.Fatal(err)
		}
		list, _ := filepath.Glob(filepath.Join(dir, "*", shard.FileName(i)))
		hidden, _ := filepath.Glob(filepath.Join(dir, ".*", shard.FileName(i)))
		for _, path := range append(list, hidden...) {
			got, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s is not whole", path)
			}
			finished = append(finished, path)
		}
	}
	return finished
}

// resumed imports again and checks the result.
func resumed(t *testing.T, path, dir string, good *shard.Model) {
	t.Helper()
	s := shard.NewStore(shard.Config{Dir: dir, Key: testKey()})
	m, err := s.Import(context.Background(), shard.Import{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if damaged, err := m.Verify(context.Background(), nil); err != nil || len(damaged) > 0 || !m.Complete() {
		t.Errorf("after resuming: damaged %v, %v, there %v", damaged, err, m.Present())
	}
	if m.Manifest.SHA256 != good.Manifest.SHA256 {
		t.Error("after resuming: another file")
	}
	out := filepath.Join(t.TempDir(), "out.gguf")
	if err := m.Export(context.Background(), out, nil); err != nil {
		t.Fatal(err)
	}
	sameFiles(t, path, out)
	left, _ := filepath.Glob(filepath.Join(dir, "*", "*.part"))
	stages, _ := filepath.Glob(filepath.Join(dir, ".import-*"))
	for _, stage := range append(left, stages...) {
		if filepath.Ext(stage) != ".lock" {
			t.Errorf("left behind: %s", stage)
		}
	}
}

func TestImportSurvivesKill(t *testing.T) {
	path, good := crashModel(t)
	for _, point := range []string{"1", "2", "4", "7", "12", "sign"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "models")
			crash(t, path, dir, point, 0)
			if _, err := os.Stat(filepath.Join(dir, good.Manifest.ModelID.String())); err == nil {
				t.Error("the model has its final name before it is whole")
			}
			before := stats(t, noPartials(t, dir, good))
			resumed(t, path, dir, good)
			for _, old := range before {
				kept(t, dir, good, old)
			}
		})
	}
}

func stats(t *testing.T, paths []string) (list []os.FileInfo) {
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, info)
	}
	return list
}

// kept checks that a shard that was finished before the crash was not written again.
func kept(t *testing.T, dir string, good *shard.Model, old os.FileInfo) {
	t.Helper()
	now, err := os.Stat(filepath.Join(dir, good.Manifest.ModelID.String(), old.Name()))
	if err != nil || !os.SameFile(old, now) || !now.ModTime().Equal(old.ModTime()) {
		t.Errorf("%s was cut again: %v", old.Name(), err)
	}
}

// TestImportSurvivesManyKills kills one import again and again, at random moments, until it is through.
func TestImportSurvivesManyKills(t *testing.T) {
	path, good := crashModel(t)
	dir := filepath.Join(t.TempDir(), "models")
	r := rand.New(rand.NewPCG(1, 2))
	for range 12 {
		crash(t, path, dir, "", time.Duration(20+r.IntN(120))*time.Millisecond)
		noPartials(t, dir, good)
	}
	resumed(t, path, dir, good)
}

// TestDamagedStageIsCutAgain flips a bit in a finished shard of a stopped import.
func TestDamagedStageIsCutAgain(t *testing.T) {
	path, good := crashModel(t)
	dir := filepath.Join(t.TempDir(), "models")
	crash(t, path, dir, "7", 0)
	finished := noPartials(t, dir, good)
	if len(finished) == 0 {
		t.Fatal("no shard was finished")
	}
	flip(t, finished[0], good.Manifest.Reserved+5)
	resumed(t, path, dir, good)
}

// flip inverts one bit of a file.
func flip(t *testing.T, path string, off int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], off); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b[:], off); err != nil {
		t.Fatal(err)
	}
}
