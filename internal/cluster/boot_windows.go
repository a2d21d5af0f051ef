package cluster

import (
	"time"

	"golang.org/x/sys/windows"
)

// sinceBoot returns the time since the machine started, sleep included.
// https://learn.microsoft.com/windows/win32/api/realtimeapiset/nf-realtimeapiset-queryinterrupttime
func sinceBoot() time.Duration { return windows.DurationSinceBoot() }
