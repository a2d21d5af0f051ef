package damage

import "github.com/flawless-engine/flawless/internal/store/key"

// What to do about items that cannot be read.
const (
	restore   = "restore the working directory from a backup"
	rebuild   = "nothing: they are rebuilt from the runs when they are read"
	addAgain  = "add the same file again with flawless module add"
	replayed  = "nothing: the run is replayed from its log, unless old turns were removed (--keep-turns)"
	forgotten = "nothing: it only tells removed runs from runs that never existed"
)

// kept has the families that are listed as a whole. The others are in ofRuns and lists, or have the bytes of modules.
var kept = []struct {
	key.Family
	kind, todo string
}{
	{key.Format, "format of the store", restore},
	{key.Identity, "identity of the store", restore},
	{key.Lease, "lease", restore},
	{key.Node, "nodes", restore},
	{key.Mask, "key of masked values", restore},
	{key.Generation, "generation of the lists", restore},
	{key.Version, "versions of modules", restore},
	{key.Settings, "settings of modules", restore},
	{key.Host, "settings of hosts", restore + ", or set them again with flawless host set"},
	{key.State, "states", restore},
	{key.Schedule, "schedules", restore},
	{key.Secret, "secrets", restore + ", or set them again with flawless secret set"},
	{key.Limit, "limits", restore + ", or set them again with flawless limit set"},
	{key.Gone, "removed runs", forgotten},
	{key.Removal, "runs being removed", restore},
	{key.Transfer, "mark of a copied store", restore},
	{key.History, "history", restore},
	{key.Check, "last check", "nothing: it is written again"},
	{key.Change, "numbers of changes", restore},
	{key.Grant, "admitted runs", restore},
	{key.View, "views", restore + ", or save them again with flawless view add"},
	{key.Minutes, "counts by minute", "nothing: they are about the last day, for people"},
}

// ofRuns has the families whose keys begin with the shard and the id of a run, which is listed by itself.
var ofRuns = []struct {
	key.Family
	part, todo string
}{
	{key.Head, "head", restore + "; until then the run does not continue"},
	{key.Record, "log", restore + "; until then the run is quarantined, and flawless workflow terminate ends it"},
	{key.Data, "data", restore},
	{key.Image, "image", replayed},
}

// lists has the families of lists of runs, which the store rebuilds.
var lists = append(key.Indexes(), key.Rebuilt)
