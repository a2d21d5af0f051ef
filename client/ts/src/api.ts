// Written by make reference: edit the descriptions in internal/server, not this file.

export interface Added {
	/** false if the newest version already has these bytes */
	added: boolean;
	module: Module;
}

export interface Adopted {
	call: number;
	run: string;
}

export interface Affected {
	kind: string;
	name?: string;
	part?: string;
	readable: boolean;
	todo: string;
}

export interface Arrival {
	/** Text as a string, other bytes in base64 */
	body?: string | {
		base64: string;
	};
	call: number;
	head?: unknown;
	message?: number;
	note?: string;
	reached?: number;
	stages?: Stage[];
}

export interface Attempt {
	anew?: boolean;
	begun?: boolean;
	call: number;
	eased?: number;
	failed?: TryFailure;
	mild?: boolean;
	n: number;
	next?: number;
	reached?: number;
	result: string;
	rule?: string;
	sent?: number;
	since?: number;
	stages?: Stage[];
	until?: number;
	waits?: string;
}

export interface Backfill {
	known: string[];
	started: string[];
	taken?: string[];
}

export interface Build {
	bundle_format: number;
	commit?: string;
	go: string;
	guest_interface: number;
	log_format: number;
	store_format: number;
	sum?: string;
	system: string;
	time?: string;
	version: string;
}

export interface BundleView {
	/** source files in its module, with their texts */
	files: SourceFile[];
	log: Record[];
	/** what was removed when it was exported */
	redacted?: string[];
	run: Run;
}

export interface Call {
	/** Text as a string, other bytes in base64 */
	body?: string | {
		base64: string;
	};
	head?: unknown;
	kind: string;
	n: number;
	via?: string;
}

export interface Cancel {
	deadline?: number;
	note?: string;
	who?: string;
}

export interface ChangeHost {
	/** how long the host remembers an Idempotency-Key; 0 is not set, -1 means that it ignores keys */
	key_within_ms?: number | null;
	/** how long failed calls are retried; 0 disables retries, -1 uses the setting of the module or the server */
	retry_for_ms?: number | null;
}

export interface ChangeSettings {
	/** maximum number of runs in progress at once; 0 is unlimited */
	concurrency?: number | null;
	/** minimum number of turns to keep in the log of a run; those since the last image are always kept; 0 keeps all */
	keep_turns?: number | null;
	/** how long ended runs are kept; 0 is 30 days, -1 is forever */
	retention_ms?: number | null;
	/** how long failed calls are retried; 0 disables retries, -1 uses the setting of the server */
	retry_for_ms?: number | null;
}

export interface Claim {
	call: number;
	run: string;
}

export interface Cut {
	cost?: number;
	next: number;
	turns: number;
}

export interface DamagedFile {
	file: string;
	reason: string;
}

export interface Decision {
	/** Text as a string, other bytes in base64 */
	body?: string | {
		base64: string;
	};
	call: number;
	confirm?: boolean;
	note?: string;
	resolution: Resolution;
	status?: number;
	text?: string;
	who?: string;
}

export interface Difference {
	a: string;
	at_a?: string;
	at_b?: string;
	b: string;
	call?: number;
	in_a?: string;
	in_b?: string;
	same: boolean;
	turn: number;
	what?: string;
}

export interface Divergence {
	asked?: Call;
	asked_at?: string;
	asked_end?: Ended;
	asked_lines?: SourceLine[];
	call?: number;
	logged?: Call;
	logged_at?: string;
	logged_end?: Ended;
	logged_lines?: SourceLine[];
	run: string;
	turn: number;
}

export interface Doubt {
	call: number;
	reason: string;
	request?: string;
	sent?: Sent;
	since: string;
	unseen?: boolean;
}

export interface End {
	failure: Failure;
	status: Status;
	who?: string;
}

export interface Ended {
	failure?: Failure;
	output?: unknown;
}

export interface Ending {
	output?: unknown;
	status: Status;
}

export interface Entry {
	adopted?: Adopted;
	arrival?: Arrival;
	at: number;
	attempt?: Attempt;
	cancel?: Cancel;
	decision?: Decision;
	end?: End;
	message?: Message;
	pause?: Pause;
	request?: string;
	start?: Start;
	turn?: Turn;
	unknown?: Unknown;
	upgrade?: Upgrade;
}

export interface Failure {
	kind: string;
	message: string;
	stack?: string;
}

export interface Fault {
	/** position in an input, a message or the value of a promise, such as items.0.price; missing if it concerns the whole value */
	field?: string;
	/** position in the request, such as body.labels, path.n or query.limit */
	location?: string;
	message: string;
}

export interface ForkRun {
	/** different answers to calls */
	answers?: GivenAnswer[] | null;
	/** id of the new run */
	id?: string | null;
	/** module to continue with, in base64 */
	module?: string | null;
	/** send and store nothing; the response says what the run would do */
	offline?: boolean | null;
	/** last turn that both runs share; 0 shares only the start */
	turn: number;
	/** number of a version of the run's module to continue with, instead of module */
	version?: number | null;
	who?: string | null;
}

export interface Forked {
	offline?: Offline;
	run?: Run;
}

export interface Frame {
	calls?: Frame[];
	count: number;
	from?: Site;
	func: string;
	self: number;
	site?: Site;
	total: number;
}

export interface GivenAnswer {
	/** Text as a string, other bytes in base64 */
	body?: string | {
		base64: string;
	};
	call: number;
	/** HTTP status of the answer; default 200 */
	status?: number | null;
}

export interface Health {
	aside: number;
	check?: HealthCheck;
	code_bytes: number;
	fallbacks: number;
	frozen: number;
	held?: number;
	history?: string;
	live: number;
	message?: string;
	open: number;
	origin?: string;
	replayed: number;
	retrying: number;
	start: number;
	state: "ok" | "full" | "damaged" | "disconnected" | "broken" | "stopping";
	store: string;
	thawed: number;
	version: string;
}

export interface HealthCheck {
	damaged?: number;
	ended?: string;
	read: number;
	running: boolean;
	total: number;
}

export interface History {
	accepted?: string;
	held: number;
	known: number;
	note?: string;
	open: boolean;
	reasons?: string[];
	resuming?: number[];
	rings?: HistoryRing[];
	since?: string;
	waiting?: string[];
	who?: string;
}

export interface HistoryRing {
	held: number;
	id?: string;
	known: number;
	node?: string;
	shards: number[];
	state: "taken" | "missing" | "incomplete" | "seen";
	why: string;
}

export interface Host {
	host: string;
	key_within_ms?: number;
	retry_for_ms?: number;
}

/** How often a module is initialised */
export type Initialised = "once" | "per run";

export interface Inspection {
	against?: number;
	arrived: number[];
	blocked: string;
	changes?: PageChange[];
	data?: unknown;
	digest: string;
	ended?: Ended;
	memory: number;
	own: number;
	pending: Call[];
	run: string;
	stacks?: TracedCall[];
	tasks: Task[];
	time: number;
	turn: number;
	wake?: number;
}

export interface KeyWindow {
	host: string;
	within_ms: number;
}

export interface Limit {
	burst: number;
	count: number;
	host: string;
	period_ms: number;
	waiting: number;
}

export interface Line {
	at?: string;
	fields?: unknown;
	level: string;
	text: string;
}

export interface LostCall {
	request?: string;
}

export interface Manifest {
	hosts?: string[];
	keys?: KeyWindow[];
	name?: string;
	sdk?: string;
	version?: string;
	workflows: Workflow[];
}

export interface Match {
	at?: string;
	call?: number;
	record: number;
	text: string;
	time: number;
	turn: number;
	what: string;
}

export interface Matches {
	matches: Match[];
	next?: number;
}

export interface Message {
	/** Text as a string, other bytes in base64 */
	body: string | {
		base64: string;
	};
	call?: number;
	from?: string;
	id: string;
	key?: string;
	n: number;
	type: string;
	who?: string;
}

export interface MinuteStats {
	ended?: { [name: string]: number };
	minute: string;
	started: number;
}

export interface Module {
	added: string;
	digest: string;
	initialised?: Initialised;
	manifest: Manifest;
	name: string;
	size: number;
	sources?: number;
	version: number;
}

export interface ModuleStats {
	module: string;
	reasons?: ReasonStats[];
	runs: { [name: string]: number };
}

export interface ModuleUpgrade {
	already: number;
	cannot_be_told: number;
	digest: string;
	diverged: number;
	dry_run: boolean;
	go_on: number;
	left_out?: number;
	module: string;
	moved: number;
	runs: RunUpgrade[];
	took_ns: number;
	version: number;
}

export interface NodeStatus {
	address: string;
	beat: number;
	branch?: string;
	calls: number;
	dead?: boolean;
	draining?: boolean;
	fingerprint?: string;
	guests: number;
	id: string;
	keys?: string[];
	lease_age_ms: number;
	name: string;
	questioned?: boolean;
	ring?: string;
	self?: boolean;
	shards: number;
	version: string;
}

export interface Offline {
	digest: string;
	ended?: Ended;
	failure?: string;
	run: string;
	turn: number;
	turns: Turn[];
	waits?: Call[];
	would: Call[];
}

export interface Origin {
	of: string;
	redacted?: string[];
	run: string;
	turn: number;
}

/** What a schedule does if the previous run is still open */
export type Overlap = "skip" | "queue" | "allow" | "cancel";

export interface Page {
	/** cursor of the next page; missing on the last page. Other pages may also have fewer runs than the limit */
	next?: string;
	/** the search stopped early in order to answer quickly; continue with next, even if there are no runs here */
	partial?: boolean;
	runs: Run[];
}

export interface PageChange {
	bytes: number;
	from: number;
	pages: number;
}

export interface Pause {
	hold?: boolean;
	lost?: boolean;
	note?: string;
	resume?: boolean;
	who?: string;
}

export interface Post {
	/** your own key for the message; the same key is delivered only once. A run remembers its newest 10,000 keys, and all keys of the last hour */
	key?: string | null;
	type: string;
	/** any JSON */
	value?: unknown;
	who?: string | null;
}

export interface Posted {
	/** id of the message */
	id: string;
	/** with wait: the reply of the run */
	reply?: unknown;
}

export interface Problem {
	/** class of error: not found, invalid, conflict, refused, too large, disk full, stopping, elsewhere, fenced, damaged, diverged, the answer was lost, denied; later versions may add others */
	code?: string;
	/** what failed, why, and what to do */
	detail: string;
	/** the invalid parts of the request */
	errors?: Fault[];
	/** the value or error that the promise was settled with before */
	settled?: Settlement;
	status: number;
	/** name of the HTTP status */
	title: string;
	/** always about:blank; status and code identify the kind of problem */
	type: string;
}

export interface Progress {
	/** progress from 0 to 1 */
	done: number;
	stage: string;
}

export interface Promise {
	call: number;
	expires?: string;
	made: string;
	name?: string;
	run: string;
	schema?: unknown;
	token: string;
}

export interface QueueOptions {
	key?: string;
	limit?: number;
	priority?: number;
}

export interface ReasonStats {
	last: string;
	reason: string;
	runs: number;
	since: string;
	status: Status;
}

export interface Record {
	cut?: Cut;
	entries: Entry[];
	epoch: number;
	seq: number;
	short?: boolean;
}

export interface Rejection {
	error: string;
	who?: string | null;
}

export interface Replay {
	calls: number;
	cost: number;
	digest: string;
	divergence?: Divergence;
	hash?: string;
	lines?: ReplayedLine[];
	memory: number;
	module: string;
	more_lines?: number;
	of: number;
	own: boolean;
	run: string;
	took_ns: number;
	turns: number;
	wake?: number;
	workflow: string;
}

export interface ReplayedLine {
	at?: string;
	fields?: unknown;
	level: string;
	text: string;
	turn: number;
}

export interface Reset {
	/** such as that a server has stopped */
	why: string;
}

/** A decision about a call whose outcome is unknown. Logs also contain give-up, which ends the retries of a call */
export type Resolution = "retry" | "response" | "error" | "fail" | "give-up";

export interface Resolve {
	/** with response: its body */
	body?: string | {
		base64: string;
	};
	/** with retry: send it although the server that made the call was not seen to stop (unseen) */
	confirm?: boolean | null;
	/** reason, kept in the log */
	note?: string | null;
	resolution: Resolution;
	/** with response: its HTTP status; default 200 */
	status?: number | null;
	/** with error: the message that the code gets */
	text?: string | null;
	who?: string | null;
}

export interface Retrying {
	call: number;
	next?: string;
	reason: string;
	request: string;
	rule?: string;
	since: string;
	tries: number;
	until?: string;
}

export interface Rotated {
	/** id of the key that now encrypts all secrets */
	key: string;
	secrets: number;
}

export interface Run {
	calls: number;
	cancel_requested?: boolean;
	computing?: string;
	cost: number;
	created: string;
	cut?: boolean;
	deadline?: string;
	digest: string;
	ended?: string;
	failure?: Failure;
	id: string;
	labels?: { [name: string]: string };
	mail?: number;
	module: string;
	of?: string;
	output?: unknown;
	parent?: string;
	pause?: Pause;
	place?: QueueOptions;
	problem?: string;
	retrying?: Retrying[];
	retrying_calls?: number;
	status: Status;
	turns: number;
	unresolved?: Doubt[];
	waiting?: Wait;
	wake?: string;
	workflow: string;
}

export interface RunUpgrade {
	calls: number;
	divergence?: Divergence;
	from: string;
	from_version?: number;
	moved: boolean;
	reason?: string;
	run: string;
	turns: number;
	verdict: Verdict;
	workflow: string;
}

export interface Schedule {
	ahead?: string;
	catch_up_limit?: number;
	catch_up_ms: number;
	created: string;
	cron: string;
	deadline_ms?: number;
	done: string;
	grace_ms?: number;
	input?: unknown;
	jitter_ms?: number;
	labels?: { [name: string]: string };
	last_run?: string;
	missed: number;
	missed_why?: string;
	module: string;
	name: string;
	next?: string;
	note?: string;
	open_runs?: string[];
	overlap: Overlap;
	paused?: boolean;
	place?: QueueOptions;
	problem?: string;
	queued?: string;
	skipped: number;
	started: number;
	version?: string;
	workflow: string;
	zone: string;
}

export interface Secret {
	changed: string;
	hosts: string[];
	key: string;
	name: string;
	problem?: string;
}

export interface Self {
	run: string;
	url?: string;
}

export interface Sent {
	begun: string;
	/** Text as a string, other bytes in base64 */
	body?: string | {
		base64: string;
	};
	headers: unknown;
	idempotency_key: string;
	method: string;
	size: number;
	try: number;
	url: string;
}

export interface SetLimit {
	/** calls that may begin at once after an idle period; default 1 */
	burst?: number | null;
	/** calls per time, such as 10/s, 300/m, 5000/h or 100/d */
	rate: string;
}

export interface SetSchedule {
	/** maximum number of missed runs to start, the newest; 1 to 10000, default 100 */
	catch_up_limit?: number | null;
	/** how far back runs that were missed while the server was down are started; default one hour, 10 seconds to 10 years */
	catch_up_ms?: number | null;
	/** maximum number of runs of the key in progress at once; default 1 */
	concurrency?: number | null;
	/** key shared by runs of which a limited number are in progress at once */
	concurrency_key?: string | null;
	/** cron expression: minute, hour, day, month, weekday, optionally seconds in front and years at the end; or a word such as @daily */
	cron: string;
	/** each run is cancelled this long after its start; at most 10 years, 0 is never */
	deadline_ms?: number | null;
	/** time from the deadline until the run is terminated; default one minute, at most 10 years; needs a deadline */
	grace_ms?: number | null;
	/** any JSON that matches the schema of the workflow */
	input?: unknown;
	/** each start is delayed by a random time up to this, but not past the next start; at most one day */
	jitter_ms?: number | null;
	/** labels of its runs, in addition to schedule=NAME */
	labels?: { [name: string]: string } | null;
	module: string;
	/** reason for the pause */
	note?: string | null;
	/** What a schedule does if the previous run is still open */
	overlap?: "skip" | "queue" | "allow" | "cancel" | null;
	/** create the schedule paused */
	paused?: boolean | null;
	/** priority in the queue; the highest goes first, then the oldest */
	priority?: number | null;
	/** version of the module, as declared by its author or numbered by the server; default: the newest at each start */
	version?: string | null;
	workflow: string;
	/** time zone, such as Europe/Berlin; default UTC */
	zone?: string | null;
}

export interface SetSecret {
	/** hosts that the secret may be sent to, such as api.example.com; default: the hosts of the secret that it replaces */
	hosts?: string[] | null;
	value: string;
}

export interface SetView {
	/** what the query is for, such as runs */
	page: string;
	/** as in a URL, without ?, at most 4,000 bytes */
	query?: string | null;
}

export interface Settings {
	concurrency: number;
	keep_turns: number;
	module: string;
	retention_ms: number;
	retry_for_ms?: number;
}

export interface Settlement {
	error?: string;
	value?: unknown;
}

export interface Site {
	file?: string;
	line?: number;
}

export interface Source {
	digest: string;
	files: SourceFile[];
}

export interface SourceFile {
	lines: number;
	name: string;
	text?: string;
}

export interface SourceLine {
	at: string;
	text: string;
}

export interface StackFrame {
	func: string;
	site?: Site;
}

export interface Stage {
	at: number;
	name: string;
}

export interface Start {
	call?: number;
	deadline?: number;
	digest: string;
	grace?: number;
	input: unknown;
	keyed?: boolean;
	labels?: { [name: string]: string };
	lost?: boolean;
	module: string;
	of?: string;
	origin?: Origin;
	parent?: string;
	place?: QueueOptions;
	schedule?: string;
	seed: string;
	time: number;
	url?: string;
	version?: string;
	workflow: string;
}

export interface StartRun {
	/** maximum number of runs of the key in progress at once; default 1 */
	concurrency?: number | null;
	/** key shared by runs of which a limited number are in progress at once */
	concurrency_key?: string | null;
	/** time at which the run is cancelled, within the next 10 years */
	deadline?: string | null;
	/** time from the deadline until the run is terminated, such as 30s; default 1m, at most 10 years; needs a deadline */
	grace?: string | null;
	/** your own id for the run; the same id never starts a second run */
	id?: string | null;
	/** any JSON that matches the schema of the workflow */
	input?: unknown;
	/** labels to filter lists by; at most 20 */
	labels?: { [name: string]: string } | null;
	module: string;
	/** priority in the queue; the highest goes first, then the oldest */
	priority?: number | null;
	/** version of the module, as declared by its author or numbered by the server; default: the newest */
	version?: string | null;
	workflow: string;
}

export interface Started {
	run: Run;
	/** false if a run with this id and input already existed */
	started: boolean;
}

export interface State {
	holder?: Claim;
	name: string;
	queue?: Claim[];
	/** Text as a string, other bytes in base64 */
	value?: string | {
		base64: string;
	};
}

export interface States {
	/** name at which the next page begins; missing on the last page */
	next?: string;
	states: State[];
}

export interface Stats {
	minutes: MinuteStats[];
	modules: ModuleStats[];
	unresolved?: UnresolvedStats;
}

/** Status of a run */
export type Status = "pending" | "running" | "waiting" | "paused" | "unresolved" | "completed" | "failed" | "cancelled" | "terminated";

export interface Step {
	n: number;
	name?: string;
}

export interface StoreCheck {
	affected?: Affected[];
	began: string;
	damaged?: DamagedFile[];
	ended?: string;
	error?: string;
	more?: number;
	read: number;
	recounted?: string[];
	running: boolean;
	total: number;
}

export interface Task {
	call?: number;
	count: number;
	frames: StackFrame[];
	started?: StackFrame;
	state: string;
}

export interface Times {
	times: string[];
}

export interface Trace {
	digest: string;
	divergence?: Divergence;
	run: string;
	turns: TracedTurn[];
}

export interface TracedCall {
	n: number;
	stack: StackFrame[];
}

export interface TracedTurn {
	calls?: TracedCall[];
	cost: number;
	n: number;
	other?: number;
	roots?: Frame[];
	time: number;
}

export interface Triggered {
	run: Run;
	/** false if a run with this key already existed */
	started: boolean;
}

export interface TryFailure {
	kind: string;
	reason?: string;
	status?: number;
}

export interface Turn {
	answers?: number[];
	as?: Self;
	calls?: Call[];
	cost?: number;
	data?: unknown;
	ended?: Ended;
	labels?: { [name: string]: string };
	lines?: Line[];
	n: number;
	steps?: Step[];
	time: number;
	wake?: number;
}

export interface Unknown {
	call: number;
	lost?: LostCall;
	reached?: number;
	reason: string;
	stages?: Stage[];
	unseen?: number;
}

export interface UnresolvedStats {
	more?: boolean;
	oldest?: string;
	runs: number;
	since?: string;
}

export interface Upgrade {
	digest: string;
	from: string;
	version?: number;
	wake?: number;
	who?: string;
}

export interface UpgradeProgress {
	all: number;
	done: number;
	stage: string;
}

export interface UrgeCall {
	/** number of the call; may be omitted if only one call waits for a retry */
	call?: number | null;
	/** stop retrying, and return the last error to the code */
	give_up?: boolean | null;
	/** reason, kept in the log */
	note?: string | null;
	who?: string | null;
}

/** Whether a run can continue with other code */
export type Verdict = "goes on" | "diverged" | "cannot be told";

export interface View {
	name: string;
	page: string;
	query: string;
}

export interface Wait {
	at?: string;
	call?: number;
	kind: string;
	name?: string;
	others?: number;
	since?: string;
	text?: string;
	until?: string;
}

export interface Word {
	/** reason, kept in the log */
	note?: string | null;
	who?: string | null;
}

export interface Workflow {
	doc?: string;
	input?: unknown;
	name: string;
	output?: unknown;
}
