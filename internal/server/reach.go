package server

import "slices"

// place is where an operation is carried out when there are several servers on a database.
type place string

const (
	// Any server does it by itself, because all it needs is in the database. A server that owns nothing cannot write there,
	// and passes the request on to one that owns something.
	inStore place = "database"
	// The server that owns the run, schedule, state or limit does it: others pass the request on to it.
	atOwner place = "owner"
	// The owner is asked, because it knows more; if it cannot be reached, the answer comes from the database.
	ownerOrStore place = "owner, else database"
	// All servers do their part, and the server that was asked puts the parts together.
	ofAll place = "all"
	// It is about the server that is asked.
	ofServer place = "this server"
)

// rules say how requests for an operation travel between servers.
type rules struct {
	op    string // its id in the description of the API, or the pattern of an operation of flawless.dev
	at    place
	again bool   // may be sent again when it is unknown whether it was carried out
	why   string // it is safe to send again, or not
	look  string // what a person does to find out whether it was carried out
}

const (
	reads     = "changes nothing"
	sameAfter = "sets what is set already"
	lookRun   = "Look at the run (flawless workflow show)"
	lookPlan  = "Look at the schedule (flawless schedule show)"
)

// reach has all operations. docs/internals/operations.md has a row for each.
var reach = []rules{
	{"version", ofServer, true, reads, ""},
	{"health", ofServer, true, reads, ""},
	{"get-store-check", ofServer, true, reads, ""},
	{"list-nodes", inStore, true, reads, ""},
	{"drain-node", inStore, true, sameAfter, "Look at the nodes (flawless node list)"},
	{"undrain-node", inStore, true, sameAfter, "Look at the nodes (flawless node list)"},
	{"get-history", inStore, true, reads, ""},
	{"accept-history", inStore, true, "it is accepted once", "Look at the history (flawless history)"},
	{"get-stats", inStore, true, reads, ""},
	{"list-views", inStore, true, reads, ""},
	{"set-view", inStore, true, sameAfter, "Look at the views (flawless view list)"},
	{"remove-view", inStore, true, "it is removed once", "Look at the views (flawless view list)"},
	{"check-store", ofServer, true, "a check that is running is not started twice", ""},

	{"start-run", atOwner, true, "the first server chooses the id, and an id starts one run", lookRun},
	{"list-runs", inStore, true, reads, ""},
	{"get-run", ownerOrStore, true, reads, ""},
	{"get-log", inStore, true, reads, ""},
	{"get-data", inStore, true, reads, ""},
	{"follow-data", inStore, true, reads, ""},
	{"follow-log", inStore, true, reads, ""},
	{"watch-runs", ofAll, true, reads, ""},
	{"cancel-run", atOwner, true, "cancelling it again changes nothing", lookRun},
	{"pause-run", atOwner, true, "pausing a paused run changes nothing", lookRun},
	{"resume-run", atOwner, true, "resuming a run that is not paused changes nothing", lookRun},
	{"terminate-run", atOwner, true, "a run ends once", lookRun},
	{"restart-run", atOwner, true, "the first server chooses the id, and an id starts one run", "Look for a run that restarts this one (flawless workflow list)"},
	{"resolve-call", atOwner, true, "the first server chooses an id for the request, which the log keeps", lookRun},
	{"retry-call", atOwner, true, "the first server chooses an id for the request, which the log keeps", lookRun},
	{"fork-run", atOwner, true, "the first server chooses the id, and an id makes one fork", "Look for the fork (flawless workflow list)"},
	{"import-run", atOwner, true, "an id is imported once", lookRun},
	{"view-bundle", ofServer, true, reads, ""},
	{"export-run", inStore, true, reads, ""},
	{"replay-run", inStore, true, reads, ""},
	{"trace-run", inStore, true, reads, ""},
	{"find-in-run", inStore, true, reads, ""},
	{"inspect-run", inStore, true, reads, ""},
	{"diff-runs", inStore, true, reads, ""},

	{"send-message", atOwner, true, "the first server chooses the key, and a run takes a key once", "Look at the log of the run (flawless workflow log)"},
	{"list-messages", atOwner, true, reads, ""},
	{"list-promises", atOwner, true, reads, ""},
	{"settle-promise", atOwner, true, "a promise is settled once, and the same value again is no conflict", lookRun},
	{"reject-promise", atOwner, true, "a promise is settled once, and the same error again is no conflict", lookRun},

	{"list-states", inStore, true, reads, ""},
	{"get-state", atOwner, true, reads, ""},

	{"set-schedule", atOwner, true, sameAfter, lookPlan},
	{"list-schedules", inStore, true, reads, ""},
	{"list-times", ofServer, true, reads, ""},
	{"get-schedule", atOwner, true, reads, ""},
	{"remove-schedule", atOwner, true, "it is removed once", lookPlan},
	{"pause-schedule", atOwner, true, sameAfter, lookPlan},
	{"resume-schedule", atOwner, true, sameAfter, lookPlan},
	{"trigger-schedule", atOwner, true, "the first server chooses the key, and a key starts one run", lookPlan},
	{"backfill-schedule", atOwner, true, "a time has one run", lookPlan},

	{"set-limit", inStore, true, sameAfter, "Look at the limits (flawless limit list)"},
	{"list-limits", inStore, true, reads, ""},
	{"remove-limit", inStore, true, "it is removed once", "Look at the limits (flawless limit list)"},
	{"change-host", inStore, true, sameAfter, "Look at the settings (flawless host list)"},
	{"list-hosts", inStore, true, reads, ""},
	{"get-host", inStore, true, reads, ""},
	{"remove-host", inStore, true, "it is removed once", "Look at the settings (flawless host list)"},

	{"add-module", inStore, true, "the same bytes are added once", "Look at the module (flawless module list)"},
	{"deploy-module", inStore, true, "the same bytes are added once", "Look at the module (flawless module list)"},
	{"list-modules", inStore, true, reads, ""},
	{"get-module", inStore, true, reads, ""},
	{"get-source", inStore, true, reads, ""},
	{"remove-module", inStore, true, "it is removed once", "Look at the module (flawless module list)"},
	{"upgrade-module", ofAll, true, "a run that has moved is not moved again", "Repeat it with --dry-run"},
	{"get-settings", inStore, true, reads, ""},
	{"change-settings", inStore, true, sameAfter, "Look at the settings of the module"},

	{"set-secret", inStore, true, sameAfter, "Look at the secrets (flawless secret list)"},
	{"list-secrets", inStore, true, reads, ""},
	{"remove-secret", inStore, true, "it is removed once", "Look at the secrets (flawless secret list)"},
	{"rotate-secret-key", inStore, true, "the first server chooses an id for the request, and one makes one key", "Look at the log of the servers"},

	{"POST /api/module/deploy", inStore, true, "the same bytes are added once", "Look at the module (flawless module list)"},
	{"POST /api/workflow/start", atOwner, true, "the first server chooses the id, and an id starts one run", lookRun},
	{"POST /api/workflow/send-msg/{id}", atOwner, true, "the first server chooses the key, and a run takes a key once", "Look at the log of the run (flawless workflow log)"},
	{"POST /workflow/start/{module}/{workflow}", atOwner, true, "the first server chooses an id for the request, which the log keeps", "Look for the run (flawless workflow list)"},
	{"GET /workflow/{id}", inStore, true, reads, ""},
}

// rulesOf returns the rules of an operation. What is not known is not sent again.
func rulesOf(op string) rules {
	if i := slices.IndexFunc(reach, func(r rules) bool { return r.op == op }); i >= 0 {
		return reach[i]
	}
	return rules{op: op, at: atOwner, look: "Find out whether it was"}
}
