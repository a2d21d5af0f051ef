package postgres

import (
	"fmt"
	"strings"
)

// shape says which parts the statement for a group of batches has. Most statements have few, and each part costs time
// even if it does nothing.
type shape struct {
	expects bool
	tables  [tables]struct {
		share  bool // rows that are expected, and stay as they are
		lock   bool // rows that are expected, and change
		insert bool // rows that are expected not to exist, and are set
		put    bool // rows that are set
		delete bool
	}
}

// settings are the settings of the server that each statement returns, with the values that would break the promise of
// durability.
var settings = []struct{ name, bad string }{
	{"synchronous_commit", "off"},
	{"fsync", "off"},
	{"full_page_writes", "off"},
}

// returned selects the values of settings.
func returned() string {
	var s strings.Builder
	for i, it := range settings {
		if i > 0 {
			s.WriteString(", ")
		}
		fmt.Fprintf(&s, "coalesce(current_setting('%s', true), '')", it.name)
	}
	return s.String()
}

// text returns the statement of a shape. It is one statement, so that it is one transaction in one round trip:
//
//	s*, u*      lock the expected rows, in the order of keys, and read their newest versions
//	bad         finds the batches whose expectations do not hold
//	turn        moves the lane from n-1 to n, and notes bad in it. If the lane is somewhere else, it has no row
//	i*, p*, d*  write the other batches, if turn has a row
//
// Rows that are only read are locked FOR SHARE: a statement that waited for one that takes over the lease sees the new
// lease. NOWAIT, because a batch that waits would hold up all others of its lane. Rows that must not exist cannot be
// locked; if the batch sets them, they are inserted plainly, which fails (23505) if another transaction was faster.
func (s *shape) text(schema string) string {
	var b strings.Builder
	param := 4
	next := func(kind string) string {
		param++
		return fmt.Sprintf("$%d::%s", param, kind)
	}
	b.WriteString("WITH ")
	bad := "SELECT '{}'::int4[] AS b"
	if s.expects {
		var held []string
		lock := func(prefix string, t table, how string) {
			name := prefix + tableNames[t]
			fmt.Fprintf(&b, "%s AS MATERIALIZED (SELECT k, v FROM %s.%s WHERE k = ANY (%s) ORDER BY k FOR %s NOWAIT),\n", name, schema, tableNames[t], next("bytea[]"), how)
			held = append(held, "SELECT k, v FROM "+name)
		}
		for t := range tables {
			if s.tables[t].share {
				lock("s_", t, "SHARE")
			}
			if s.tables[t].lock {
				lock("u_", t, "UPDATE")
			}
		}
		bad = fmt.Sprintf("SELECT coalesce(array_agg(DISTINCT e.b), '{}') AS b FROM unnest(%s, %s, %s) AS e (b, k, v) LEFT JOIN (%s) AS h ON h.k = e.k WHERE h.v IS DISTINCT FROM e.v",
			next("int4[]"), next("bytea[]"), next("bytea[]"), strings.Join(held, " UNION ALL "))
	}
	fmt.Fprintf(&b, "bad AS MATERIALIZED (%s),\n", bad)
	fmt.Fprintf(&b, "turn AS (UPDATE %s.lanes AS l SET n = $4, failed = bad.b FROM bad WHERE l.node = $1 AND l.lane = $2 AND l.generation = $3 AND l.n = $4 - 1 RETURNING l.failed)", schema)
	for t := range tables {
		part := s.tables[t]
		to := schema + "." + tableNames[t]
		write := func(prefix, conflict string) {
			fmt.Fprintf(&b, ",\n%s%s AS (INSERT INTO %s AS t (k, v) SELECT w.k, w.v FROM turn, unnest(%s, %s, %s) AS w (b, k, v) WHERE w.b <> ALL (turn.failed)%s)",
				prefix, tableNames[t], to, next("int4[]"), next("bytea[]"), next("bytea[]"), conflict)
		}
		if part.insert {
			write("i_", "")
		}
		if part.put {
			write("p_", " ON CONFLICT (k) DO UPDATE SET v = excluded.v")
		}
		if part.delete {
			fmt.Fprintf(&b, ",\nd_%s AS (DELETE FROM %s AS t USING turn, unnest(%s, %s) AS w (b, k) WHERE t.k = w.k AND w.b <> ALL (turn.failed))",
				tableNames[t], to, next("int4[]"), next("bytea[]"))
		}
	}
	fmt.Fprintf(&b, "\nSELECT turn.failed, %s FROM turn", returned())
	return b.String()
}

// arguments are the arguments of a statement for the parts of a shape, in the order of text.
type arguments struct {
	shape  shape
	expect struct {
		batch []int32
		pairs
	}
	share, lock [tables][][]byte
	insert      [tables]written
	put         [tables]written
	delete      [tables]written
}

type pairs struct{ keys, values [][]byte }

type written struct {
	batch []int32
	pairs
}

func (w *written) add(batch int32, c *change) {
	w.batch = append(w.batch, batch)
	w.keys = append(w.keys, c.key)
	w.values = append(w.values, c.value)
}

// assemble merges batches into one statement.
func assemble(group []*batch) *arguments {
	a := &arguments{}
	locked := map[string]bool{} // rows that several batches expect
	for i, p := range group {
		n := int32(i)
		for j := range p.expect {
			e := &p.expect[j]
			a.shape.expects = true
			a.expect.batch = append(a.expect.batch, n)
			a.expect.keys = append(a.expect.keys, e.key)
			a.expect.values = append(a.expect.values, e.value)
			if locked[string(e.key)] {
				continue
			}
			locked[string(e.key)] = true
			if e.written {
				a.lock[e.table] = append(a.lock[e.table], e.key)
				a.shape.tables[e.table].lock = true
			} else {
				a.share[e.table] = append(a.share[e.table], e.key)
				a.shape.tables[e.table].share = true
			}
		}
		for j := range p.set {
			c := &p.set[j]
			if c.fresh {
				a.insert[c.table].add(n, c)
				a.shape.tables[c.table].insert = true
			} else {
				a.put[c.table].add(n, c)
				a.shape.tables[c.table].put = true
			}
		}
		for j := range p.delete {
			c := &p.delete[j]
			a.delete[c.table].add(n, c)
			a.shape.tables[c.table].delete = true
		}
	}
	return a
}

// list returns the arguments after those of the lane.
func (a *arguments) list(to []any) []any {
	if a.shape.expects {
		for t := range tables {
			if a.shape.tables[t].share {
				to = append(to, a.share[t])
			}
			if a.shape.tables[t].lock {
				to = append(to, a.lock[t])
			}
		}
		to = append(to, a.expect.batch, a.expect.keys, a.expect.values)
	}
	for t := range tables {
		part := a.shape.tables[t]
		if part.insert {
			to = append(to, a.insert[t].batch, a.insert[t].keys, a.insert[t].values)
		}
		if part.put {
			to = append(to, a.put[t].batch, a.put[t].keys, a.put[t].values)
		}
		if part.delete {
			to = append(to, a.delete[t].batch, a.delete[t].keys)
		}
	}
	return to
}
