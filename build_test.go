package flawless

import (
	"runtime/debug"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestBuildOf(t *testing.T) {
	t.Parallel()
	own := func(version, sum string, settings ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Path: modulePath, Version: version, Sum: sum}, Settings: settings}
	}
	commit := debug.BuildSetting{Key: "vcs.revision", Value: "0123456789abcdef"}
	at := debug.BuildSetting{Key: "vcs.time", Value: "2026-11-30T12:00:00Z"}
	clean, dirty := debug.BuildSetting{Key: "vcs.modified", Value: "false"}, debug.BuildSetting{Key: "vcs.modified", Value: "true"}
	for name, row := range map[string]struct {
		info     *debug.BuildInfo
		want     Build
		released bool
	}{
		"a release": {own("v1.2.0", "", commit, at, clean),
			Build{Version: "1.2.0", Commit: "0123456789abcdef", Time: "2026-11-30T12:00:00Z"}, true},
		"a pre-release": {own("v1.2.0-rc.1", "", commit, clean), Build{Version: "1.2.0-rc.1", Commit: "0123456789abcdef"}, true},
		"a commit after a release": {own("v1.2.1-0.20261130120000-0123456789ab", "", commit, clean),
			Build{Version: "1.2.1-0.20261130120000-0123456789ab", Commit: "0123456789abcdef"}, false},
		"a commit before the first release": {own("v0.0.0-20261130120000-0123456789ab", "", commit, clean),
			Build{Version: "0.0.0-20261130120000-0123456789ab", Commit: "0123456789abcdef"}, false},
		"changed files on a release": {own("v1.2.0+dirty", "", commit, dirty), Build{Version: "1.2.0+dirty", Commit: "0123456789abcdef+dirty"}, false},
		"no version control":         {own("(devel)", ""), Build{Version: Unversioned}, false},
		"a test":                     {own("", ""), Build{Version: Unversioned}, false},
		"go install":                 {own("v1.2.0", "h1:abc="), Build{Version: "1.2.0", Sum: "h1:abc="}, true},
		"nothing":                    {&debug.BuildInfo{}, Build{Version: Unversioned}, false},
		"another program": {&debug.BuildInfo{Main: debug.Module{Path: "example.com/shop", Version: "v7.0.0"}, Settings: []debug.BuildSetting{commit},
			Deps: []*debug.Module{{Path: modulePath, Version: "v1.2.0", Sum: "h1:abc="}}}, Build{Version: "1.2.0", Sum: "h1:abc="}, true},
		"another program with a copy": {&debug.BuildInfo{Main: debug.Module{Path: "example.com/shop"},
			Deps: []*debug.Module{{Path: modulePath, Version: "v1.2.0", Replace: &debug.Module{Path: "../flawless"}}}}, Build{Version: Unversioned}, false},
	} {
		got := buildOf(row.info)
		if d := cmp.Diff(row.want, got, cmpopts.IgnoreFields(Build{}, "Go", "System", "StoreFormat", "LogFormat", "BundleFormat", "GuestInterface")); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if got.Released() != row.released {
			t.Errorf("%s: Released() = %v", name, got.Released())
		}
		if got.Go == "" || got.System == "" || got.StoreFormat*got.LogFormat*got.BundleFormat*got.GuestInterface == 0 {
			t.Errorf("%s: it lacks the compiler, the system or a format: %+v", name, got)
		}
	}
}

func TestBuildString(t *testing.T) {
	t.Parallel()
	for want, b := range map[string]Build{
		"1.2.0 (commit 0123456789abcdef of 2026-11-30T12:00:00Z, go1.26.8, linux/amd64)": {Version: "1.2.0", Commit: "0123456789abcdef", Time: "2026-11-30T12:00:00Z"},
		"1.2.0 (module checksum h1:abc=, go1.26.8, linux/amd64)":                         {Version: "1.2.0", Sum: "h1:abc="},
		"devel (built without version control information, go1.26.8, linux/amd64)":       {Version: "devel"},
	} {
		b.Go, b.System = "go1.26.8", "linux/amd64"
		if got := b.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
