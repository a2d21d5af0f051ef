package key

import "slices"

// Family is the first byte of a key, and says which parts follow. What is owned has its shard right after it.
//
//	family    key                             value (in an envelope, see package codec)
//	F format  F                               nothing; the envelope's number is the format
//	I identity I                              id of the store, and of its origin
//	l lease   l shard:2                       owner, epoch
//	n node    n id                            one server of several on this database
//	h head    h shard id                      run, active, wake
//	r record  r shard id seq:8                epoch, entries
//	d data    d shard id                      the run's data, JSON
//	f frozen  f shard id                      an image of the run
//	c created c created:8 id                  -
//	s status  s status created:8 id           -
//	m module  m module created:8 id           -
//	w workflow w module workflow status created:8 id   -
//	L label   L name value status created:8 id   -
//	P parent  P parent created:8 id           -
//	k count   k shard module slot:8           counts of runs
//	U minutes U id                            counts of a server by minute
//	V view    V name                          a saved view
//	G placed  G shard key id                  -
//	a active  a shard id                      -
//	t timer   t shard wake:8 id               -
//	X         X                               generation of the indexes, 8 bytes; missing for generation 0
//	x rebuilt x generation:8 and a key        - rows of rebuilt indexes, and of k
//	v version v name version:8                module
//	b binary  b digest piece:8                32 KiB of the module's bytes
//	g state   g shard name                    value that runs share, holder
//	C         C shard name                    schedule
//	H         H shard host                    rate limit of a host, which any server may write
//	O         O host                          settings of a host
//	M         M module                        settings of a module
//	S secret  S name                          a secret, sealed
//	K         K shard id                      trace of a removed run
//	D         D shard id                      nothing: the log of the run is being removed
//	T         T                               this database was copied to another one, or is a copy, see store.Transfer
//	R         R                               key for the hashes of masked values
//	Q history Q                               whether the logs have every call that was made, and whose are asked for
//	Z check   Z                               result of the last check of the store, JSON
//	A grant   A id                            nothing: the owner of the caps has admitted the run
//	N change  N family                        a number, another one after each change in a family; for v also
//	                                          which modules are being removed
//
//	shard     one byte: see ShardOf and ShardOfName
//	:2, :8    big-endian unsigned; times are Unix nanoseconds with the sign bit inverted
//	id, ...   text: byte 00 becomes 00 FF, and 00 01 is the end
//	-         an index: the value is empty and has no envelope
type Family byte

// The families of keys.
const (
	Format     Family = 'F'
	Identity   Family = 'I'
	Lease      Family = 'l'
	Node       Family = 'n'
	Head       Family = 'h'
	Record     Family = 'r'
	Data       Family = 'd'
	Image      Family = 'f'
	Created    Family = 'c'
	Status     Family = 's'
	Module     Family = 'm'
	Workflow   Family = 'w'
	Label      Family = 'L'
	Parent     Family = 'P'
	Placed     Family = 'G'
	Active     Family = 'a'
	Timer      Family = 't'
	Generation Family = 'X'
	Rebuilt    Family = 'x'
	Version    Family = 'v'
	Binary     Family = 'b'
	State      Family = 'g'
	Schedule   Family = 'C'
	Limit      Family = 'H'
	Host       Family = 'O'
	Settings   Family = 'M'
	Secret     Family = 'S'
	Gone       Family = 'K'
	Removal    Family = 'D'
	Transfer   Family = 'T'
	Mask       Family = 'R'
	Check      Family = 'Z'
	History    Family = 'Q'
	Change     Family = 'N'
	Grant      Family = 'A'
	Tally      Family = 'k'
	Minutes    Family = 'U'
	View       Family = 'V'
)

var (
	indexes = []Family{Created, Status, Module, Workflow, Label, Parent, Placed, Active, Timer, Tally}
	others  = []Family{
		Format, Identity, Lease, Node, Head, Record, Data, Image, Generation, Rebuilt, Version, Binary, State, Schedule,
		Limit, Host, Settings, Secret, Gone, Removal, Transfer, Mask, Check, History, Change, Grant, Minutes, View,
	}
)

// Families returns all families.
func Families() []Family { return slices.Concat(indexes, others) }

// Indexes returns the families whose rows, with their values, can be derived from the heads of the runs.
func Indexes() []Family { return slices.Clone(indexes) }

// IsIndex reports whether a key, which may be empty, belongs to one of the [Indexes].
func IsIndex(k []byte) bool {
	if len(k) == 0 {
		return false
	}
	switch Family(k[0]) { // a switch, because each read and each row of a write asks
	case Created, Status, Module, Workflow, Label, Parent, Placed, Active, Timer, Tally:
		return true
	}
	return false
}

// Key starts a key of the family. By itself it is the prefix of all of them.
func (f Family) Key() Key { return append(Key(nil), byte(f)) }

// Of returns the key, or prefix of keys, of a run in a family of runs: the shard and the id.
func (f Family) Of(run string) Key { return f.Key().Shard(ShardOf(run)).Text(run) }

// Named returns the key of what is owned under a name: the shard and the name.
func (f Family) Named(k Kind, name string) Key { return f.Key().Shard(ShardOfName(k, name)).Text(name) }
