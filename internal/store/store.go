package store

// CONTRACT (to be implemented in this package, one file per noun: store.go run.go log.go module.go lease.go timer.go key.go)
//
//	type Store struct{ ... }
//	func Open(ctx, kv KV) (*Store, error) // writes the format number into an empty database, refuses a higher one (flawless.Conflict)
//	func (s *Store) Close() error
//
//	type Lease struct { Owner string; Epoch uint64 }
//	func (s *Store) Claim(ctx, owner string) (Lease, error) // epoch+1; later writes under an older lease return flawless.Fenced
//
//	type Head struct {
//		Run    flawless.Run // without Output (that is in the log's last turn) where large; see Write
//		Active bool         // calls are under way or answers undelivered: the engine must look at it after a restart
//		Wake   int64        // moment of its timer, Unix ns; 0 is none
//	}
//	type Write struct {
//		ID      string
//		New     bool             // the run must not exist yet: else flawless.Conflict
//		Before  *Head            // what is stored now (its index keys are removed); nil when New or After is nil
//		After   *Head            // nil leaves head and indexes as they are
//		Seq     uint64           // of the record
//		Entries []flawless.Entry // one record; empty writes none
//		Data    []byte           // the run's data; nil leaves it
//	}
//	func (s *Store) Write(ctx, l Lease, w Write) error
//	func (s *Store) Head(ctx, id string) (Head, error)
//	func (s *Store) Data(ctx, id string) ([]byte, error)            // flawless.NotFound where none was set
//	func (s *Store) Log(ctx, id string, from uint64) iter.Seq2[flawless.Record, error] // flawless.Damaged with the record's number
//	func (s *Store) Runs(ctx, f flawless.Filter) ([]flawless.Run, string, error)  // newest first; next cursor, "" at the end
//	func (s *Store) Active(ctx) iter.Seq2[string, error]
//	func (s *Store) Timers(ctx, from, until int64) iter.Seq2[Timer, error] // in order of Wake: Timer{ID string; Wake int64}
//
//	func (s *Store) AddModule(ctx, m flawless.Module, bin []byte) (flawless.Module, bool, error) // gives it its version; the same bytes as the newest version: that one and false
//	func (s *Store) Module(ctx, name string) ([]flawless.Module, error) // newest first; flawless.NotFound
//	func (s *Store) Modules(ctx) ([]flawless.Module, error)             // the newest of each name, by name
//	func (s *Store) Binary(ctx, digest string) ([]byte, error)
