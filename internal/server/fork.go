package server

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/forward"
	"github.com/flawless-engine/flawless/internal/redact"
	"github.com/flawless-engine/flawless/internal/replay"
	"github.com/flawless-engine/flawless/internal/reply"
)

// ForkRun asks for a fork.
type ForkRun struct {
	Turn    int           `json:"turn" minimum:"0" doc:"last turn that both runs share; 0 shares only the start"`
	ID      string        `json:"id,omitempty" doc:"id of the new run"`
	Answers []GivenAnswer `json:"answers,omitempty" doc:"different answers to calls"`
	Module  []byte        `json:"module,omitempty" doc:"module to continue with, in base64"`
	Version int           `json:"version,omitempty" minimum:"1" doc:"number of a version of the run's module to continue with, instead of module"`
	Offline bool          `json:"offline,omitempty" doc:"send and store nothing; the response says what the run would do"`
	Who     string        `json:"who,omitempty" minLength:"0"`
}

// GivenAnswer replaces an answer in the log.
type GivenAnswer struct {
	Call     int            `json:"call" minimum:"1"`
	Status   int            `json:"status,omitempty" doc:"HTTP status of the answer; default 200"`
	Response flawless.Bytes `json:"body,omitempty"`
}

// Forked is the answer to a fork: the new run, or what it would do.
type Forked struct {
	Run     *flawless.Run     `json:"run,omitempty"`
	Offline *flawless.Offline `json:"offline,omitempty"`
}

func (a *api) forks() {
	op := operation("fork-run", http.MethodPost, "/runs/{id}/fork", "Start a new run from a turn of this one")
	op.MaxBodyBytes = engine.MaxModule*4/3 + maxBody
	huma.Register(a.huma, op, func(ctx context.Context, in *struct {
		RunPath
		Body ForkRun
	}) (*body[Forked], error) {
		o := engine.Fork{Turn: in.Body.Turn, ID: in.Body.ID, Module: in.Body.Module, Who: in.Body.Who}
		for _, g := range in.Body.Answers {
			o.Answers = append(o.Answers, flawless.Decision{Call: g.Call, Status: g.Status, Body: g.Response})
		}
		var err error
		if o.Digest, err = a.digestOf(ctx, in.ID, in.Body); err != nil {
			return nil, reply.From(err)
		}
		if in.Body.Offline {
			out, err := a.engine.Offline(ctx, in.ID, o)
			return &body[Forked]{Forked{Offline: &out}}, reply.From(err)
		}
		o.ID = forward.Made(ctx, o.ID, a.engine.NewID)
		r, err := a.engine.Fork(ctx, in.ID, o)
		return &body[Forked]{Forked{Run: &r}}, reply.From(err)
	})
	huma.Register(a.huma, operation("diff-runs", http.MethodGet, "/runs/{id}/diff/{other}", "Find the first turn where two runs differ"),
		func(ctx context.Context, in *struct {
			RunPath
			Other string `path:"other" doc:"id of the other run"`
		}) (*body[flawless.Difference], error) {
			d, err := a.engine.Diff(ctx, in.ID, in.Other)
			return &body[flawless.Difference]{d}, reply.From(err)
		})
	huma.Register(a.huma, operation("find-in-run", http.MethodGet, "/runs/{id}/find", "Find the turns of a run whose data, calls or log lines contain a text or meet a condition"),
		func(ctx context.Context, in *struct {
			RunPath
			Text  string `query:"text" required:"true" minLength:"1" maxLength:"1000" doc:"the text, in upper and lower case as it is shown; or a condition on a value of data, call or line, such as data.step == \"paid\""`
			From  int64  `query:"from" minimum:"0" doc:"number of the first log record to look at"`
			Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"the page ends with the record in which this number of matches is reached"`
		}) (*body[flawless.Matches], error) {
			m, err := a.find(ctx, in.ID, uint64(in.From), in.Text, in.Limit)
			return &body[flawless.Matches]{m}, reply.From(err)
		})
	huma.Register(a.huma, operation("inspect-run", http.MethodGet, "/runs/{id}/inspect", "Inspect the state of a run after a turn"),
		func(ctx context.Context, in *struct {
			RunPath
			Turn    int  `query:"turn" minimum:"0" doc:"default: the last turn"`
			Against int  `query:"against" minimum:"0" doc:"turn whose memory to compare with"`
			Stacks  bool `query:"stacks" doc:"include the stacks of calls of guests that are not in Go; this takes longer"`
		}) (*body[flawless.Inspection], error) {
			inspect := a.engine.Inspect
			if in.Stacks {
				inspect = a.engine.InspectStacks
			}
			i, err := inspect(ctx, in.ID, in.Turn, in.Against)
			return &body[flawless.Inspection]{i}, reply.From(err)
		})
}

// digestOf returns the digest of the version that a fork asks for, or "" if it asks for none.
func (a *api) digestOf(ctx context.Context, id string, in ForkRun) (string, error) {
	switch {
	case in.Version == 0:
		return "", nil
	case len(in.Module) > 0:
		return "", fmt.Errorf("the fork has a module and names version %d; give only one of them: %w", in.Version, flawless.Invalid)
	}
	r, err := a.engine.Run(ctx, id)
	if err != nil {
		return "", err
	}
	all, err := a.engine.Module(ctx, r.Module)
	if err != nil {
		return "", err
	}
	if i := slices.IndexFunc(all, func(m flawless.Module) bool { return m.Version == in.Version }); i >= 0 {
		return all[i].Digest, nil
	}
	return "", fmt.Errorf("module %s has no version %d; list its versions with: flawless module show %s: %w", r.Module, in.Version, r.Module, flawless.NotFound)
}

// find looks for a text or a condition in what the log shows, so that nobody finds out what is hidden by trying.
func (a *api) find(ctx context.Context, id string, from uint64, text string, limit int) (flawless.Matches, error) {
	q, err := replay.ParseQuery(text)
	if err != nil {
		return flawless.Matches{}, err
	}
	leave, err := a.budget.Enter(ctx)
	if err != nil {
		return flawless.Matches{}, err
	}
	defer leave()
	out := flawless.Matches{Matches: []flawless.Match{}}
	for rec, err := range a.engine.Records(ctx, id, from) {
		switch {
		case err != nil:
			return flawless.Matches{}, err
		case len(out.Matches) >= limit:
			out.Next = rec.Seq
			return out, nil
		}
		out.Matches = append(out.Matches, q.In(redact.Shown(a.engine.Mask(), rec))...)
	}
	return out, nil
}
