package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/bundle"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/redact"
	"github.com/flawless-engine/flawless/internal/replay"
)

func (a *app) exportCommand() *cobra.Command {
	var file string
	var o client.Export
	c := &cobra.Command{Use: "export ID", Short: "Write a run into one file", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeRun,
		Long: "Writes a bundle: the run's log, its module and, where there is one, its frozen image. It replays bit for bit on any\n" +
			"machine (flawless replay FILE), and can be kept by another server (flawless workflow import FILE).\n" +
			"Secrets are never in it. Values of bodies can be taken out by path, of headers and of parameters of URLs by name; a\n" +
			"list or object keeps its shape.",
		Example: "  flawless workflow export order-42 -o order-42.bundle --redact '$.card.number' --redact '..token'\n" +
			"  flawless workflow export order-42 --redact header:Authorization --redact query:key",
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := a.connect()
			if err != nil {
				return err
			}
			if file == "-" {
				return cl.Export(c.Context(), args[0], o, a.binary)
			}
			if file == "" {
				file = filepath.Base(args[0]) + ".bundle"
			}
			n, err := received(file, func(w io.Writer) error { return cl.Export(c.Context(), args[0], o, w) })
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(map[string]any{"file": file, "size": n})
			}
			fmt.Fprintf(a.out, "wrote %s (%s)\n", file, size(n))
			return nil
		}}
	f := c.Flags()
	f.StringVarP(&file, "output", "o", "", "file to write, - is standard output (default ID.bundle)")
	f.StringArrayVar(&o.Redact, "redact", nil, "what to take out: a path into bodies such as $.card.number, items[*].price, ..token; header:NAME; query:NAME")
	f.BoolVar(&o.LogOnly, "log-only", false, "leave module and image out; enough for flawless check")
	return c
}

// received makes a file of what write receives, and returns its size. The file is there whole, or as it was before
// where write returns an error.
func received(file string, write func(io.Writer) error) (n int64, err error) {
	part, err := os.CreateTemp(filepath.Dir(file), ".part-*") // which nobody else can read
	if err != nil {
		return 0, fmt.Errorf("writing %s: %w", file, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(part.Name()))
		}
	}()
	if err := write(part); err != nil {
		return 0, errors.Join(err, part.Close())
	}
	info, err := part.Stat()
	if err := errors.Join(err, part.Close()); err != nil {
		return 0, fmt.Errorf("writing %s: %w", file, err)
	}
	if err := os.Rename(part.Name(), file); err != nil {
		return 0, fmt.Errorf("writing %s: %w", file, err)
	}
	return info.Size(), nil
}

func (a *app) importCommand() *cobra.Command {
	var id string
	c := &cobra.Command{Use: "import FILE", Short: "Keep the run of a bundle, to look at and to fork", Args: cobra.ExactArgs(1),
		Long: "Gives a bundle to the server. Its run can be looked at, replayed, traced and forked as every other, and never goes on by\n" +
			"itself: one that had not ended is terminated here.",
		RunE: func(c *cobra.Command, args []string) error {
			b, err := os.ReadFile(args[0])
			if err != nil {
				return fmt.Errorf("reading the bundle: %v: %w", err, flawless.NotFound)
			}
			cl, err := a.connect()
			if err != nil {
				return err
			}
			r, err := cl.Import(c.Context(), b, id)
			if err != nil || a.json {
				return orPrint(a, err, r)
			}
			fmt.Fprintf(a.out, "imported run %s, it is %s\n", r.ID, r.Status)
			return nil
		}}
	c.Flags().StringVar(&id, "id", "", "id of the run here (default its own)")
	return c
}

func (a *app) replayCommand() *cobra.Command {
	var module string
	var source sources
	c := &cobra.Command{Use: "replay BUNDLE|ID", Short: "Take the turns of an exported run again, without a server, or of a run", Args: cobra.ExactArgs(1),
		Long: "Takes the turns of a run again, without the outside. Where the argument is a file it is a bundle and replayed on this\n" +
			"machine, without a server; any other is the id of a run, which is replayed on the server and not touched.\n" +
			"With --module, which flawless.dev calls --patch-module, the log is replayed with other code: lines that it prints and the\n" +
			"log does not have are shown, and where it asks for something else than the log says, both.",
		Example: "  flawless replay order-42.bundle\n  flawless replay wkf_01jd3m9k6ve8drhb3xk4m0n7ta --patch-module=fixed.wasm",
		RunE: func(c *cobra.Command, args []string) error {
			bin, err := readModule(module)
			if err != nil {
				return err
			}
			replay := a.replayRun
			if info, err := os.Stat(args[0]); err == nil && !info.IsDir() {
				replay = replayFile
			}
			r, err := replay(c.Context(), args[0], bin)
			if err != nil {
				return err
			}
			return a.printReplay(r, source)
		}}
	f := c.Flags()
	f.StringVar(&module, "module", "", "file of a module to replay with, instead of the run's own")
	f.StringVar(&module, "patch-module", "", "the same")
	source.flags(c)
	c.MarkFlagsMutuallyExclusive("module", "patch-module")
	return c
}

// replayRun replays a run on the server.
func (a *app) replayRun(ctx context.Context, id string, bin []byte) (flawless.Replay, error) {
	cl, err := a.connect()
	if err != nil {
		return flawless.Replay{}, err
	}
	r, err := cl.Replay(ctx, id, bin)
	if err != nil {
		err = fmt.Errorf("there is no file %s, so it is taken for a run: %w", id, err)
	}
	return r, err
}

// replayFile replays the run of a bundle here.
func replayFile(ctx context.Context, file string, bin []byte) (r flawless.Replay, err error) {
	b, err := readBundle(file)
	if err != nil {
		return r, err
	}
	if bin == nil {
		bin = b.Module
	}
	if bin == nil {
		return r, fmt.Errorf("the bundle %s has only the log: name a module with --module: %w", file, flawless.Invalid)
	}
	rt, err := localRuntime(ctx)
	if err != nil {
		return r, err
	}
	defer closing(&err, func() error { return rt.Close(context.WithoutCancel(ctx)) })
	m, err := rt.Load(ctx, bin, nil)
	if err != nil {
		return r, err
	}
	defer closing(&err, func() error { return m.Close(context.WithoutCancel(ctx)) })
	return replayBundle(ctx, m, b)
}

// readBundle reads a file.
func readBundle(file string) (bundle.Bundle, error) {
	f, err := os.Open(file)
	if err != nil {
		return bundle.Bundle{}, fmt.Errorf("reading the bundle: %v: %w", err, flawless.NotFound)
	}
	defer f.Close()
	b, err := bundle.Read(f)
	if err != nil {
		return b, fmt.Errorf("%s: %w", file, err)
	}
	return b, nil
}

// replayBundle takes the turns of a bundle's log again.
func replayBundle(ctx context.Context, m *guest.Module, b bundle.Bundle) (flawless.Replay, error) {
	var o replay.Options
	if len(b.Manifest.Redacted) > 0 {
		r, err := redact.NewRedaction(b.Manifest.Redacted)
		if err != nil {
			return flawless.Replay{}, errors.Join(err, flawless.Damaged)
		}
		o.Redact = &r
	}
	r, err := replay.Run(ctx, m, b.Manifest.Run.ID, replay.Records(b.Log), o)
	return masked(r), err
}

// masked is what may be shown of something that no server has masked. Hashes are of this process.
func masked[T any](v T) T {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	m, err := redact.NewMask(key)
	if err != nil {
		panic("flawless: the headers that are never shown cannot be masked: " + err.Error())
	}
	return redact.Shown(m, v)
}

// localRuntime is what runs guests without a server. Compiled code is kept in the user's cache.
func localRuntime(ctx context.Context) (*guest.Runtime, error) {
	o := guest.Options{}
	if dir, err := os.UserCacheDir(); err == nil {
		o.CacheDir = filepath.Join(dir, "flawless", "compiled")
	}
	rt, err := guest.NewRuntime(ctx, o)
	if err != nil && o.CacheDir != "" {
		rt, err = guest.NewRuntime(ctx, guest.Options{}) // the folder cannot be written: nothing is kept
	}
	return rt, err
}
