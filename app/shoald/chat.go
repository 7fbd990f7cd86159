package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/shoal-p2p/shoal/daemon/api"
	"github.com/shoal-p2p/shoal/daemon/core"
)

// maxQuestion bounds what is read from a pipe, in bytes.
const maxQuestion = 8 << 20

type chatCmd struct {
	Question    []string `arg:"" optional:"" help:"What to ask; without it the conversation is typed, or read from a pipe."`
	Model       string   `short:"m" default:"auto" help:"Model id; auto takes the one that is loaded or set as default."`
	System      string   `help:"Instruction the model is given first."`
	Temperature float64  `default:"0.7" help:"0 always gives the most likely answer."`
	MaxTokens   int      `help:"Longest answer; 0 is as long as the context allows."`
}

// Run asks once, or talks until the input ends.
func (c *chatCmd) Run(s *session) error {
	question := strings.Join(c.Question, " ")
	if question == "" && !s.interactive {
		text, err := io.ReadAll(io.LimitReader(s.in, maxQuestion+1))
		if err != nil {
			return core.Errorf(core.CodeInvalidRequest, "read the question: %w", err)
		}
		if len(text) > maxQuestion {
			return core.Errorf(core.CodeTooLarge, "the question is longer than %s", size(maxQuestion))
		}
		question = strings.TrimSpace(string(text))
		if question == "" {
			return core.Errorf(core.CodeInvalidRequest, "the question is empty")
		}
	}
	return s.withAnswers(func(ctx context.Context, n api.Node) error {
		talk := &conversation{session: s, node: n, chatCmd: c}
		if question == "" {
			return talk.typed(ctx)
		}
		return talk.ask(ctx, question)
	})
}

// conversation remembers what was said.
type conversation struct {
	*session
	*chatCmd
	node     api.Node
	messages []core.Message
}

// ask adds one question and prints the answer while it comes.
func (c *conversation) ask(ctx context.Context, question string) error {
	if len(c.messages) == 0 && c.System != "" {
		c.messages = append(c.messages, core.Message{Role: "system", Content: c.System})
	}
	messages := append(c.messages, core.Message{Role: "user", Content: question})
	reply, err := c.node.Generate(ctx, &core.GenerateRequest{
		Model: c.Model, Requester: "shoald", Messages: messages, MaxTokens: c.MaxTokens,
		Sampling: core.Sampling{Temperature: c.Temperature},
	}, c.print)
	if err != nil {
		return err
	}
	c.messages = append(messages, core.Message{Role: "assistant", Content: reply.Message.Content})
	return c.show(answerOf(reply), func(w io.Writer) { fmt.Fprintln(w) })
}

// print writes a piece of an answer. Only the answer itself goes to the output: thoughts are shown on a screen.
func (c *conversation) print(d core.Delta) error {
	if c.json {
		return nil
	}
	if d.Reasoning != "" && c.screen {
		const dim, normal = "\x1b[2m", "\x1b[0m"
		fmt.Fprint(c.err, dim, printable(d.Reasoning), normal)
	}
	if !c.screen {
		_, err := io.WriteString(c.out, d.Text)
		return err
	}
	_, err := io.WriteString(c.out, printable(d.Text))
	return err
}

// typed talks with a person. Ctrl-C stops an answer; Ctrl-C at the prompt, Ctrl-D or /bye ends the conversation.
func (c *conversation) typed(ctx context.Context) error {
	signal.Reset(os.Interrupt) // from here on Ctrl-C ends the program only at the prompt
	fmt.Fprintln(c.out, "Type a message. Ctrl-C stops an answer, /bye ends.")
	lines := c.lines(ctx)
	for {
		fmt.Fprint(c.out, "> ")
		select {
		case <-ctx.Done():
			return nil
		case line, more := <-lines:
			if !more || line == "/bye" {
				return nil
			}
			if line == "" {
				continue
			}
			if err := c.interruptible(ctx, line); err != nil {
				c.fail(err)
			}
		}
	}
}

// lines reads the input until it ends. The goroutine may outlive ctx in a read, which nothing can interrupt.
func (c *conversation) lines(ctx context.Context) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for {
			line, err := c.in.ReadString('\n')
			line = strings.TrimSpace(line)
			if err != nil && line == "" {
				return
			}
			select {
			case lines <- line:
			case <-ctx.Done():
				return
			}
		}
	}()
	return lines
}

func (c *conversation) interruptible(ctx context.Context, question string) error {
	answering, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	err := c.ask(answering, question)
	if errors.Is(err, context.Canceled) || core.CodeOf(err) == core.CodeCancelled {
		fmt.Fprintln(c.out)
		return nil
	}
	return err
}

// answer is the JSON form of a reply.
type answer struct {
	Model            string     `json:"model"`
	Content          string     `json:"content"`
	ReasoningContent string     `json:"reasoning_content,omitempty"`
	FinishReason     string     `json:"finish_reason"`
	Usage            core.Usage `json:"usage"`
}

func answerOf(r *core.Reply) answer {
	return answer{r.Model, r.Message.Content, r.Message.ReasoningContent, r.FinishReason, r.Usage}
}
