package engine

// CONTRACT
//
//	type Options struct {
//		Store  *store.Store; Guest *guest.Runtime; Kinds []effect.Kind; Log *slog.Logger
//		Live int // guests kept in memory at most; 0 is 256
//	}
//	func Open(ctx, Options) (*Engine, error)
//	func (e *Engine) Close(ctx context.Context) error // orderly stop; ctx ends the drain
//	func (e *Engine) AddModule(ctx, name string, bin []byte, progress func(stage string, done float64)) (flawless.Module, bool, error)
//	func (e *Engine) Modules(ctx) ([]flawless.Module, error)
//	func (e *Engine) Module(ctx, name string) ([]flawless.Module, error) // all versions, newest first
//	type Start struct { Module, Workflow string; Input json.RawMessage; ID string }
//	func (e *Engine) Start(ctx, Start) (run flawless.Run, started bool, err error) // started is false when the ID was known with the same input
//	func (e *Engine) Run(ctx, id string) (flawless.Run, error)
//	func (e *Engine) Runs(ctx, flawless.Filter) ([]flawless.Run, string, error)
//	func (e *Engine) Log(ctx, id string, from uint64, limit int) ([]flawless.Record, error)
//	func (e *Engine) Follow(ctx, id string, from uint64) iter.Seq2[flawless.Record, error] // ends when the run has ended
//	func (e *Engine) Data(ctx, id string) (json.RawMessage, error)
//	func (e *Engine) Wait(ctx, id string) (flawless.Run, error) // until it has ended
//	func (e *Engine) Watch(ctx) iter.Seq2[flawless.Run, error]  // every change of status of any run, from now on
//	func (e *Engine) Resolve(ctx, id string, flawless.Decision) (flawless.Run, error)
//	func (e *Engine) Cancel(ctx, id string, flawless.Cancel) (flawless.Run, error)
//	func (e *Engine) Terminate(ctx, id string, flawless.Cancel) (flawless.Run, error)
//	func (e *Engine) Health() flawless.Health
