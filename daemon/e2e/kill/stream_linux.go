package kill

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/daemon/e2e"
)

// reply is what a client of the API saw of a streamed reply.
type reply struct {
	status   int
	route    string
	peers    []string // that the reply's header names
	text     string
	finish   string // "" if none came
	done     bool   // the mark of a complete reply came
	refusal  string // the error that the stream or the status told
	broken   error  // the connection ended in another way than by the end of the body
	pieces   int
	first    time.Duration // from the request to the first piece of text
	pause    time.Duration // longest silence after the harm
	told     time.Duration // from the harm to the end
	harmedAt time.Time
}

// moment says when harm is done: at a time from the request on, or at a piece of text.
type moment struct {
	after time.Duration
	piece int // counts if it is not 0
}

// never is a moment that does not come.
var never = moment{piece: -1}

// chunk is an event of the stream.
type chunk struct {
	Choices []struct {
		Delta        struct{ Content string } `json:"delta"`
		FinishReason *string                  `json:"finish_reason"`
	} `json:"choices"`
	Error *struct {
		Message string `json:"message"`
		Code    string `json:"code"`
	} `json:"error"`
}

// ask puts a question at temperature 0 and does harm at a moment of the reply. harm gets the peers that the reply's
// header named, nil before it came. The error is of asking, not of the reply.
func ask(ctx context.Context, n *e2e.Node, model, question string, tokens int, when moment, harm func(peers []string)) (*reply, error) {
	body, err := json.Marshal(map[string]any{
		"model": model, "max_tokens": tokens, "temperature": 0, "stream": true,
		"messages": []map[string]string{{"role": "user", "content": question}},
	})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.URL+"/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+n.Key)
	req.Header.Set("Content-Type", "application/json")
	l := &listener{reply: &reply{}, begun: time.Now(), when: when, harm: harm}
	if when.piece == 0 {
		l.last = l.begun
		struck := make(chan struct{})
		timer := time.AfterFunc(when.after, func() { defer close(struck); harm(nil) })
		defer func() {
			if !timer.Stop() {
				<-struck
			}
		}()
		l.harmedAt = l.begun.Add(when.after)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	l.status, l.route = res.StatusCode, res.Header.Get("X-Shoal-Route")
	if p := res.Header.Get("X-Shoal-Peers"); p != "" {
		l.peers = strings.Split(p, ",")
	}
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
		l.refusal = fmt.Sprintf("%d: %s", res.StatusCode, text)
		l.heard()
	} else {
		l.listen(res.Body)
	}
	if !l.harmedAt.IsZero() {
		l.told = time.Since(l.harmedAt)
	}
	return l.reply, nil
}

// listener takes a stream in.
type listener struct {
	*reply
	begun time.Time
	last  time.Time // of the latest event
	when  moment
	harm  func([]string)
}

// maxEvent bounds a line of the stream.
const maxEvent = 1 << 20

func (l *listener) listen(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxEvent)
	var text strings.Builder
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue // empty lines, and comments that keep the stream open
		}
		l.heard()
		if data == "[DONE]" {
			l.done = true
			continue
		}
		var c chunk
		if err := json.Unmarshal([]byte(data), &c); err != nil {
			l.broken = fmt.Errorf("event %q: %w", data, err)
			break
		}
		l.take(&c, &text)
	}
	l.text = text.String()
	if err := lines.Err(); err != nil && l.broken == nil {
		l.broken = err
	}
}

// heard notes an event, and the silence before it.
func (l *listener) heard() {
	now := time.Now()
	if !l.harmedAt.IsZero() && now.After(l.harmedAt) {
		from := l.last
		if from.Before(l.harmedAt) {
			from = l.harmedAt
		}
		l.pause = max(l.pause, now.Sub(from))
	}
	l.last = now
}

func (l *listener) take(c *chunk, text *strings.Builder) {
	if c.Error != nil {
		l.refusal = c.Error.Code + ": " + c.Error.Message
	}
	for _, choice := range c.Choices {
		text.WriteString(choice.Delta.Content)
		if choice.FinishReason != nil {
			l.finish = *choice.FinishReason
		}
		if choice.Delta.Content == "" {
			continue
		}
		if l.pieces++; l.pieces == 1 {
			l.first = time.Since(l.begun)
		}
		if l.pieces == l.when.piece {
			l.harmedAt = time.Now()
			l.harm(l.peers)
		}
	}
}
