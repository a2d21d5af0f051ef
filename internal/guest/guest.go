package guest

// CONTRACT (to be implemented in this package; split by noun into runtime.go, module.go, instance.go, wasi.go, ...)
//
//	type Options struct {
//		CacheDir    string // compiled code by digest and engine version; "" keeps it in memory only
//		MemoryPages uint32 // limit of linear memory in 64 KiB pages; 0 is 4096 (256 MiB)
//		TurnUnits   uint64 // metered units a turn may use; 0 is unlimited
//		Interpreter bool   // for tests of determinism
//	}
//	func NewRuntime(ctx, Options) (*Runtime, error)
//	func (*Runtime) Close(ctx) error
//	func (*Runtime) Load(ctx, bin []byte, progress func(stage string, done float64)) (*Module, error)
//	func (*Module) Manifest() flawless.Manifest
//	func (*Module) Digest() string          // SHA-256 hex of bin as added
//	func (*Module) Close(ctx) error
//	func (*Module) Start(ctx, Start) (*Instance, error)
//	type Start struct { Run, Module, Workflow string; Input, Seed []byte; Time int64 }
//	func (*Instance) Turn(ctx, In) (Out, error)
//	func (*Instance) Blocked(ctx) string    // where each goroutine or task is blocked, for people
//	func (*Instance) Hash() [32]byte        // of memory and globals, between turns
//	func (*Instance) Release()
//	type In struct { Time int64; Answers []flawless.Answer }
//	type Out struct { Calls []flawless.Call; Lines []flawless.Line; Data []byte; Wake int64; Waits []int; Ended *flawless.Ended; Cost uint64 }
