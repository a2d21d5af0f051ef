package effect

// The kinds of calls.
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
	Doubt     = "doubt"
	Log       = "log"
	Data      = "data"
	Label     = "label"
	Withdraw  = "withdraw"
	Read      = "read"
	Secret    = "secret"
)

// Options says how calls are performed. The zero value serves.
type Options struct {
	// HTTP performs http calls. The caller closes it. Nil is a client with default options, whose connections close by
	// themselves once they are idle.
	HTTP *Client
}

// Kinds returns every kind of call. Log, data and label have nothing but a Check: they have no answer, and never
// reach the engine as calls.
func Kinds(o Options) []Kind {
	web := o.HTTP
	if web == nil {
		web = NewClient(ClientOptions{}, nil)
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
		{Name: Doubt, Check: checkDoubt},
		{Name: Secret, Check: checkSecret, Perform: web.hasSecret},
		{Name: Log, Check: checkLog},
		{Name: Data, Check: checkData},
		{Name: Label, Check: checkLabel},
	}
}
