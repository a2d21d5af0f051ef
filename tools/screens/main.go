// Command screens takes the pictures of the console that the documentation shows: make screenshots runs it. It starts the
// demo of the console, opens its pages in Chromium, in both themes, and writes PNG files with few colours.
//
//	screens -root . -out docs/images
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/png"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/chromedp/chromedp"
)

var (
	root = flag.String("root", ".", "folder of the repository")
	out  = flag.String("out", "docs/images", "folder for the pictures, below the repository")
	only = flag.String("only", "", "names of the pictures to take, separated by commas; all if it is missing")
	at   = flag.String("url", "", "address that logs in at a server that is filled already, instead of the demo")
)

// maxSize is how large a picture may be, in bytes: the repository keeps each of them forever.
const maxSize = 150_000

// shot is a picture of a page.
type shot struct {
	name   string
	path   string // {order}, {fork} and {origin} are runs of the demo
	width  int64
	height int64
	ready  string // a condition of the page
	before string // a script that brings the page into the state to show
}

var shots = []shot{
	{name: "overview", path: "/", width: 1440, height: 900, ready: `document.querySelector("main")`},
	{name: "runs", path: "/runs?col=why&col=labels&col=workflow", width: 1440, height: 900, ready: `document.querySelector("#list tbody tr")`},
	{name: "run", path: "/runs/{order}", width: 1440, height: 1000, ready: `document.querySelector("#run")?.dataset.ready === "true"`},
	{name: "inbox", path: "/inbox", width: 1440, height: 900, ready: `document.querySelector("main")`},
	{name: "module", path: "/modules/shop", width: 1440, height: 900, ready: `document.querySelector("main")`},
	{name: "fork", path: "/runs/{origin}/diff/{fork}", width: 1440, height: 900, ready: `document.querySelector("main")`},
	{name: "phone", path: "/runs/{order}", width: 390, height: 844, ready: `document.querySelector("#run")?.dataset.ready === "true"`},
}

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := take(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "screens:", err)
		os.Exit(1)
	}
}

func take(ctx context.Context) error {
	login := *at
	if login == "" {
		d, err := startDemo(ctx)
		if err != nil {
			return err
		}
		defer d.stop()
		login = d.url
	}
	base, err := url.Parse(login)
	if err != nil {
		return err
	}
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil && path == "" {
			path = p
		}
	}
	if path == "" {
		return errors.New("there is no Chromium: make setup says how to get it")
	}
	alloc, end := chromedp.NewExecAllocator(ctx, append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path), chromedp.NoSandbox)...)
	defer end()
	tab, end := chromedp.NewContext(alloc)
	defer end()
	if err := chromedp.Do(tab, chromedp.Navigate(login)); err != nil {
		return err
	}
	runs, err := named(tab)
	if err != nil {
		return err
	}
	var failed []error
	for _, s := range shots {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), s.name) {
			continue
		}
		for _, theme := range []string{"light", "dark"} {
			if err := s.take(tab, base.Scheme+"://"+base.Host+runs.Replace(s.path), theme); err != nil {
				failed = append(failed, fmt.Errorf("%s, %s: %w", s.name, theme, err))
			}
		}
	}
	return errors.Join(failed...)
}

// named finds the runs that pictures show.
func named(tab context.Context) (*strings.Replacer, error) {
	var words []string
	for name, query := range map[string]string{"{order}": "workflow=order&status=unresolved&limit=1", "{fork}": "prefix=order-&limit=1000&status=completed"} {
		ids, err := chromedp.Run(tab, chromedp.Evaluate[[]string](`fetch("/api/v1/runs?`+query+`").then((r) => r.json()).then((p) => p.runs.map((r) => r.id))`, chromedp.EvalAwaitPromise))
		if err != nil {
			return nil, err
		}
		if name == "{fork}" {
			ids = slices.DeleteFunc(ids, func(id string) bool { return !strings.HasSuffix(id, "-what-if") })
		}
		if len(ids) == 0 {
			return nil, fmt.Errorf("no run fits %s: %s", name, query)
		}
		words = append(words, name, ids[0])
		if name == "{fork}" {
			words = append(words, "{origin}", strings.TrimSuffix(ids[0], "-what-if"))
		}
	}
	return strings.NewReplacer(words...), nil
}

// take takes a picture in a theme.
func (s shot) take(tab context.Context, url, theme string) error {
	ctx, cancel := context.WithTimeout(tab, 30*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(s.width, s.height), chromedp.Navigate("about:blank"), chromedp.Navigate(url)); err != nil {
		return err
	}
	// The choice is kept by the browser, and applies to the page once it is opened again.
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[any](`localStorage.setItem("flawless-theme", "`+theme+`"); document.documentElement.dataset.theme = "`+theme+`"; 0`)); err != nil {
		return err
	}
	for {
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`document.title !== "" && !/not found/i.test(document.title) && Boolean(`+s.ready+`)`))
		if err == nil && ok {
			break
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			title, _ := chromedp.Run(tab, chromedp.Evaluate[string]("document.title"))
			return fmt.Errorf("the page %s, %q, is not ready: %s", url, title, s.ready)
		}
	}
	if s.before != "" {
		if _, err := chromedp.Run(ctx, chromedp.Evaluate[any](s.before+"; 0", chromedp.EvalAwaitPromise)); err != nil {
			return err
		}
	}
	time.Sleep(500 * time.Millisecond) // for what moves into its place
	shot, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		return err
	}
	picture, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		return err
	}
	small, err := compress(picture)
	if err != nil {
		return err
	}
	if len(small) > maxSize {
		return fmt.Errorf("the picture has %d bytes, at most %d are wanted: make it smaller", len(small), maxSize)
	}
	file := filepath.Join(*root, *out, fmt.Sprintf("console-%s-%s.png", s.name, theme))
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		return err
	}
	fmt.Printf("%s: %d KB\n", file, len(small)/1000)
	return os.WriteFile(file, small, 0o666)
}

// compress returns a picture as PNG with at most 256 colours.
func compress(picture image.Image) ([]byte, error) {
	var b bytes.Buffer
	e := png.Encoder{CompressionLevel: png.BestCompression}
	err := e.Encode(&b, reduce(picture))
	return b.Bytes(), err
}

// demo is the process of demo/console.
type demo struct {
	cmd *exec.Cmd
	dir string
	url string
}

func startDemo(ctx context.Context) (*demo, error) {
	dir, err := os.MkdirTemp("", "screens")
	if err != nil {
		return nil, err
	}
	d := &demo{dir: dir}
	build := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, "demo"), "./demo/console")
	build.Dir, build.Stderr = *root, os.Stderr
	if err := build.Run(); err != nil {
		d.stop()
		return nil, err
	}
	d.cmd = exec.Command(filepath.Join(dir, "demo"))
	d.cmd.Dir, d.cmd.Stderr = *root, os.Stderr
	said, err := d.cmd.StdoutPipe()
	if err == nil {
		err = d.cmd.Start()
	}
	if err != nil {
		d.stop()
		return nil, err
	}
	for lines := bufio.NewScanner(said); lines.Scan(); {
		fmt.Println(lines.Text())
		if _, found, ok := strings.Cut(lines.Text(), "open http"); ok {
			d.url = "http" + found
			go func() { // what it says later is of no interest
				for lines.Scan() {
				}
			}()
			return d, nil
		}
	}
	d.stop()
	return nil, errors.New("the demo has ended without an address")
}

func (d *demo) stop() {
	if d.cmd != nil && d.cmd.Process != nil {
		_ = d.cmd.Process.Signal(os.Interrupt)
		_ = d.cmd.Wait()
	}
	_ = os.RemoveAll(d.dir)
}
