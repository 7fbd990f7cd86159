package store

import (
	"reflect"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/daemon/core"
)

func TestDownloads(t *testing.T) {
	s, ctx, id := openNew(t), t.Context(), modelID(t, "m")
	first := Download{Model: id, Shard: AllShards, Manifest: core.Digest{1}, State: core.DownloadQueued, Why: "user", Added: time.Unix(5, 0)}
	second := Download{Model: modelID(t, "a"), Shard: 3, Manifest: core.Digest{2}, State: core.DownloadPaused, Error: "e", Bytes: 7, Size: 9, Added: time.Unix(6, 1)}
	must(t, s.PutDownloads(ctx, second, first))
	got, err := s.Downloads(ctx)
	if err != nil || !reflect.DeepEqual(got, []Download{first, second}) {
		t.Errorf("got %+v, %v", got, err)
	}
	second.State, second.Bytes = core.DownloadDone, 9
	must(t, s.PutDownloads(ctx, second))
	must(t, s.ForgetDownload(ctx, id, AllShards))
	if got, err = s.Downloads(ctx); err != nil || !reflect.DeepEqual(got, []Download{second}) {
		t.Errorf("got %+v, %v", got, err)
	}
	must(t, s.PutDownloads(ctx, first))
	must(t, s.ForgetDownloads(ctx, second.Model))
	must(t, s.ForgetModel(ctx, id))
	if got, err = s.Downloads(ctx); err != nil || len(got) != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := s.PutDownloads(ctx, Download{Model: id, Shard: -2}, first); err == nil {
		t.Error("the schema takes shard -2")
	}
	if got, err = s.Downloads(ctx); err != nil || len(got) != 0 {
		t.Errorf("after a bad one: %+v, %v", got, err)
	}
}
