package flawless

import (
	"cmp"
	"runtime"
	"runtime/debug"
	"strings"
)

// Build identifies a binary. Different binaries have different builds, unless they were built without version control
// information: then Version is [Unversioned].
type Build struct {
	// Version is that of a release, such as 1.2.0. Between releases it is the next one and the commit, such as
	// 1.2.1-0.20261130120000-0123456789ab, with "+dirty" if there were uncommitted changes.
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"` // with "+dirty"; empty if unknown
	Time    string `json:"time,omitempty"`   // of the commit
	Sum     string `json:"sum,omitempty"`    // checksum of the module if the binary was built by "go install"
	Go      string `json:"go"`               // version of the compiler
	System  string `json:"system"`           // such as linux/amd64

	StoreFormat    int `json:"store_format"`
	LogFormat      int `json:"log_format"`
	BundleFormat   int `json:"bundle_format"`
	GuestInterface int `json:"guest_interface"`
}

// Unversioned is the version of a binary built without version control information.
const Unversioned = "devel"

const modulePath = "github.com/flawless-engine/flawless"

// ThisBuild returns the build of the running binary.
func ThisBuild() Build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return buildOf(info)
}

// buildOf reads the build information that the Go toolchain records in a binary. In a program that uses this module
// as a dependency, such as one with the client, the recorded commit is that of the program.
func buildOf(info *debug.BuildInfo) Build {
	b := Build{Version: Unversioned, Go: cmp.Or(info.GoVersion, runtime.Version()), System: runtime.GOOS + "/" + runtime.GOARCH,
		StoreFormat: StoreFormat, LogFormat: LogFormat, BundleFormat: BundleFormat, GuestInterface: GuestInterface}
	if info.Main.Path != modulePath {
		for _, m := range info.Deps {
			if m.Path == modulePath && m.Replace == nil {
				b.known(m)
			}
		}
		return b
	}
	b.known(&info.Main)
	dirty := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			b.Commit = s.Value
		case s.Key == "vcs.time":
			b.Time = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+dirty"
		}
	}
	if b.Commit != "" {
		b.Commit += dirty
	}
	return b
}

func (b *Build) known(m *debug.Module) {
	if m.Version != "" && m.Version != "(devel)" {
		b.Version, b.Sum = strings.TrimPrefix(m.Version, "v"), m.Sum
	}
}

// Released reports whether the version can be downloaded: it is a release or pre-release, not a commit in between.
func (b Build) Released() bool {
	return b.Version != Unversioned && !strings.Contains(b.Version, "+") && !pseudo(b.Version)
}

// pseudo reports whether a version is a pseudo-version: it ends with 14 digits of a time and 12 of a commit hash.
func pseudo(version string) bool {
	i := strings.LastIndexByte(version, '-')
	if i < 14 || len(version)-i != 13 {
		return false
	}
	at := version[i-14 : i]
	return strings.Trim(at, "0123456789") == "" && strings.Trim(version[i+1:], "0123456789abcdef") == ""
}

// String returns the version and what it was built from.
func (b Build) String() string {
	from := "built without version control information"
	switch {
	case b.Commit != "":
		from = "commit " + b.Commit
		if b.Time != "" {
			from += " of " + b.Time
		}
	case b.Sum != "":
		from = "module checksum " + b.Sum
	}
	return b.Version + " (" + from + ", " + b.Go + ", " + b.System + ")"
}
