package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/shoal-p2p/shoal/daemon/admin"
	"github.com/shoal-p2p/shoal/daemon/core"
)

func (s *Server) models(c *call) error {
	models, err := s.node.Models(c.ctx())
	if err != nil {
		return err
	}
	models = list(models)
	for i := range models {
		models[i].Shards = list(models[i].Shards)
		models[i].LoadedShards = list(models[i].LoadedShards)
	}
	return c.reply(http.StatusOK, models)
}

func (s *Server) storage(c *call) error {
	storage, err := s.node.Storage(c.ctx())
	if err != nil {
		return err
	}
	storage.Models = list(storage.Models)
	for i := range storage.Models {
		storage.Models[i].Shards = list(storage.Models[i].Shards)
	}
	return c.reply(http.StatusOK, storage)
}

// metadata answers 400 where there is no header to read, as the API's page says, also for an unknown model.
func (s *Server) metadata(c *call) error {
	id, err := c.modelID()
	if err != nil {
		return err
	}
	data, err := s.node.Metadata(c.ctx(), id)
	if core.CodeOf(err) == core.CodeNotFound {
		return core.Errorf(core.CodeInvalidRequest, "there is no header file of model %s", id).WithParam("id")
	}
	if err != nil {
		return err
	}
	data.Raw = list(data.Raw)
	return c.reply(http.StatusOK, data)
}

// status answers for an unknown model too: nothing is known of it.
func (s *Server) status(c *call) error {
	id, err := c.modelID()
	if err != nil {
		return err
	}
	progress, err := s.node.Progress(c.ctx(), id)
	if core.CodeOf(err) == core.CodeNotFound {
		progress, err = admin.ModelProgress{ModelID: id.String(), State: "unknown", Message: err.Error()}, nil
	}
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, progress)
}

func (s *Server) load(c *call) error {
	id, err := c.modelID()
	if err != nil {
		return err
	}
	info, err := s.node.Load(c.ctx(), id)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, map[string]any{
		"status":        "loaded",
		"model_id":      info.ID,
		"model_name":    info.Name,
		"windows":       info.Windows,
		"loaded_shards": list(info.LoadedShards),
	})
}

func (s *Server) unload(c *call) error {
	id, err := c.modelID()
	if err != nil {
		return err
	}
	done, err := s.node.Unload(c.ctx(), id)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, done)
}

func (s *Server) deleteModel(c *call) error {
	id, err := c.modelID()
	if err != nil {
		return err
	}
	if err := s.node.DeleteModel(c.ctx(), id); err != nil {
		return err
	}
	return c.reply(http.StatusOK, map[string]any{"status": "deleted", "model_id": id})
}

func (s *Server) deleteShard(c *call) error {
	id, index, err := c.shard()
	if err != nil {
		return err
	}
	if err := s.node.DeleteShard(c.ctx(), id, index); err != nil {
		return err
	}
	return c.reply(http.StatusOK, map[string]any{"status": "deleted", "model_id": id, "shard_index": index})
}

func (s *Server) loadShard(c *call) error {
	id, index, err := c.shard()
	if err != nil {
		return err
	}
	done, err := s.node.LoadShard(c.ctx(), id, index)
	if err != nil {
		return err
	}
	done.LoadedShards = list(done.LoadedShards)
	return c.reply(http.StatusOK, done)
}

func (s *Server) unloadShard(c *call) error {
	id, index, err := c.shard()
	if err != nil {
		return err
	}
	done, err := s.node.UnloadShard(c.ctx(), id, index)
	if err != nil {
		return err
	}
	done.RemainingLoaded = list(done.RemainingLoaded)
	return c.reply(http.StatusOK, done)
}

func (s *Server) lockShard(c *call) error {
	id, index, err := c.shard()
	if err != nil {
		return err
	}
	var in struct {
		Locked *bool `json:"locked"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	if in.Locked == nil {
		return core.Errorf(core.CodeInvalidRequest, "locked must be true or false").WithParam("locked")
	}
	if err := s.node.LockShard(c.ctx(), id, index, *in.Locked); err != nil {
		return err
	}
	return c.reply(http.StatusOK, map[string]any{"status": "ok", "model_id": id, "shard_index": index, "locked": *in.Locked})
}

func (s *Server) rescan(c *call) error {
	done, err := s.node.Rescan(c.ctx())
	if err != nil {
		return err
	}
	done.ModelsUpdated = list(done.ModelsUpdated)
	return c.reply(http.StatusOK, done)
}

// modelID is the path parameter id.
func (c *call) modelID() (core.ModelID, error) {
	id, err := core.ParseModelID(c.Param("id"))
	if e, ok := errors.AsType[*core.Error](err); ok {
		return id, e.WithParam("id")
	}
	return id, err
}

// shard is the path parameters id and index.
func (c *call) shard() (core.ModelID, int, error) {
	id, err := c.modelID()
	if err != nil {
		return id, 0, err
	}
	index, err := strconv.ParseUint(c.Param("index"), 10, 16)
	if err != nil {
		return id, 0, core.Errorf(core.CodeInvalidRequest, "a shard index is a number from 0").WithParam("index")
	}
	return id, int(index), nil
}

// read decodes the body, a JSON object with no other fields than those of out.
func (c *call) read(out any) error {
	decoder := json.NewDecoder(bytes.NewReader(c.body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(out); err != nil {
		return core.Errorf(core.CodeInvalidRequest, "the body does not fit: %w", err)
	}
	if decoder.More() {
		return core.Errorf(core.CodeInvalidRequest, "the body must be one JSON object")
	}
	return nil
}
