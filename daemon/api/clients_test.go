package api_test

import (
	"testing"

	"github.com/shoal-p2p/shoal/daemon/api"
	"github.com/shoal-p2p/shoal/daemon/api/apitest"
	"github.com/shoal-p2p/shoal/daemon/api/goclient"
	"github.com/shoal-p2p/shoal/daemon/api/jsclient"
)

func TestOfficialGoClient(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{})
	goclient.Run(t, apitest.Target{URL: f.url, Key: apitest.Key, Model: apitest.Loaded})
}

func TestOfficialJavaScriptClient(t *testing.T) {
	f := start(t, &apitest.Node{}, api.Config{})
	jsclient.Run(t, apitest.Target{URL: f.url, Key: apitest.Key, Model: apitest.Loaded})
}
