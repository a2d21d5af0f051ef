package effect

// The words for kinds of calls.
const (
	HTTP      = "http"
	Sleep     = "sleep"
	Cancelled = "cancelled"
	Spawn     = "spawn"
	Await     = "await"
	Send      = "send"
	Receive   = "receive"
	Reply     = "reply"
	Promise   = "promise"
	State     = "state"
	InDoubt   = "doubt"
	Log       = "log"
	Data      = "data"
	Label     = "label"
	Withdraw  = "withdraw"
	Read      = "read"
	Secret    = "secret"
)

// Options says how the kinds are to be built. The zero value serves.
type Options struct {
	// HTTP carries out the http calls; who made it closes it. Nil stands for one with default
	// options, whose connections close by themselves when they are not used any more.
	HTTP *Client
}

// Kinds returns every kind of call there is. Log, data and label are notes: they have no answer and never
// reach the engine as calls; their Check is all there is to them.
func Kinds(o Options) []Kind {
	web := o.HTTP
	if web == nil {
		web = NewClient(ClientOptions{})
	}
	return []Kind{
		{Name: HTTP, Check: checkHTTP(), Perform: web.Perform, Ended: web.Ended},
		{Name: Read, Check: checkRead, Perform: web.Read},
		{Name: Sleep, Check: checkSleep, Due: dueSleep},
		{Name: Cancelled, Check: checkCancelled, Idle: true},
		{Name: Spawn, Check: checkSpawn, Errand: true},
		{Name: Await, Check: checkAwait, Errand: true},
		{Name: Send, Check: checkSend, Errand: true},
		{Name: Receive, Check: checkReceive, Due: dueReceive},
		{Name: Reply, Check: checkReply, Note: true},
		{Name: Withdraw, Check: checkWithdraw, Note: true},
		{Name: Promise, Check: checkPromise, Due: duePromise},
		{Name: State, Check: checkState, Errand: true},
		{Name: InDoubt, Check: checkDoubt},
		{Name: Secret, Check: checkSecret, Perform: web.known},
		{Name: Log, Check: checkLog},
		{Name: Data, Check: checkData},
		{Name: Label, Check: checkLabel},
	}
}
