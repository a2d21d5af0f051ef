package rewrite

// elem is an element segment.
type elem struct {
	flags  uint32
	table  uint32
	offset expr
	kind   []byte // the byte with its kind or type, if the flags require one
	funcs  []uint32
	exprs  []expr
}

func (m *module) readElems(r *reader) {
	elements := 0
	m.list(sectionElem, r, 2, func() {
		e := elem{flags: r.u32()}
		if e.flags > 7 {
			r.damaged("elements have the unknown flags 0x%x", e.flags)
			return
		}
		typ := typeFuncref
		active := e.flags&1 == 0
		if active {
			if e.flags&2 != 0 {
				e.table = r.u32()
			}
			e.offset = m.constant(r, typeI32, "the offset of elements")
		}
		if e.flags&3 != 0 {
			e.kind = r.take(1)
			typ = m.elemType(r, e)
		}
		if active {
			m.checkTable(r, e.table, typ)
		}
		n := r.count(1)
		if elements += n; elements > maxElements {
			r.refuse("its segments have %d elements, at most %d are allowed; build a smaller module", elements, maxElements)
		}
		for ; n > 0 && r.err == nil; n-- {
			if e.flags&4 != 0 {
				e.exprs = append(e.exprs, m.constant(r, typ, "an element"))
				continue
			}
			fn := m.readFunc(r)
			m.declare(r, fn)
			e.funcs = append(e.funcs, fn)
		}
		m.elems = append(m.elems, e)
	})
}

func (m *module) elemType(r *reader, e elem) byte {
	switch {
	case r.err != nil:
	case e.flags&4 == 0 && e.kind[0] != 0:
		r.damaged("elements are of the unknown kind %d", e.kind[0])
	case e.flags&4 == 0:
	case e.kind[0] != typeFuncref && e.kind[0] != typeExternref:
		r.refuse("elements are of the type 0x%x, only funcref and externref are supported; build without the GC proposal", e.kind[0])
	default:
		return e.kind[0]
	}
	return typeFuncref
}

func (m *module) checkTable(r *reader, index uint32, typ byte) {
	switch {
	case r.err != nil:
	case int64(index) >= int64(len(m.tables)):
		r.damaged("elements go into table %d, which does not exist", index)
	case m.tables[index].elem != typ:
		r.damaged("elements of type %s go into a table of type %s", typeName(typ), typeName(m.tables[index].elem))
	}
}

func (m *module) putElems() []byte {
	var b []byte
	for _, e := range m.elems {
		b = putU(b, uint64(e.flags))
		if e.flags&1 == 0 {
			if e.flags&2 != 0 {
				b = putU(b, uint64(e.table))
			}
			b = m.putExpr(b, e.offset)
		}
		b = append(b, e.kind...)
		b = putU(b, uint64(len(e.funcs)+len(e.exprs)))
		for _, fn := range e.funcs {
			b = putU(b, uint64(m.shift(fn)))
		}
		for _, x := range e.exprs {
			b = m.putExpr(b, x)
		}
	}
	return b
}

// putExpr appends a constant expression with its end.
func (m *module) putExpr(b []byte, e expr) []byte {
	if e.isFunc {
		b = putU(append(b, opRefFunc), uint64(m.shift(e.fn)))
	} else {
		b = append(b, e.bytes...)
	}
	return append(b, opEnd)
}
