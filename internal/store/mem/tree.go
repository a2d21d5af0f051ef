package mem

import (
	"bytes"
	"hash/fnv"

	"github.com/flawless-engine/flawless/internal/store"
)

// node is the root of an immutable treap: a search tree by key and a heap by weight. The weight is a hash of the key, which
// keeps the tree balanced. Nil is the empty tree.
type node struct {
	key, value  []byte
	weight      uint64
	left, right *node
}

func newNode(item store.Item) *node {
	h := fnv.New64a()
	h.Write(item.Key)
	w := h.Sum64()
	w = (w ^ w>>32) * 0x9e3779b97f4a7c15 // mix, because similar keys have similar sums
	return &node{key: bytes.Clone(item.Key), value: append([]byte{}, item.Value...), weight: w ^ w>>29}
}

func (n *node) find(key []byte) *node {
	for n != nil {
		switch c := bytes.Compare(key, n.key); {
		case c < 0:
			n = n.left
		case c > 0:
			n = n.right
		default:
			return n
		}
	}
	return nil
}

// with returns the tree with fresh, which replaces the node with its key. It changes fresh.
func (n *node) with(fresh *node) *node {
	if n == nil {
		return fresh
	}
	c := bytes.Compare(fresh.key, n.key)
	if c == 0 {
		fresh.left, fresh.right = n.left, n.right
		return fresh
	}
	if fresh.weight > n.weight {
		fresh.left, fresh.right = n.split(fresh.key)
		return fresh
	}
	m := *n
	if c < 0 {
		m.left = n.left.with(fresh)
	} else {
		m.right = n.right.with(fresh)
	}
	return &m
}

// without returns the tree without a key.
func (n *node) without(key []byte) *node {
	if n.find(key) == nil {
		return n
	}
	c := bytes.Compare(key, n.key)
	if c == 0 {
		return join(n.left, n.right)
	}
	m := *n
	if c < 0 {
		m.left = n.left.without(key)
	} else {
		m.right = n.right.without(key)
	}
	return &m
}

// split returns the trees of all keys below and above a key.
func (n *node) split(key []byte) (below, above *node) {
	if n == nil {
		return nil, nil
	}
	m := *n
	switch c := bytes.Compare(key, n.key); {
	case c < 0:
		below, m.left = n.left.split(key)
		return below, &m
	case c > 0:
		m.right, above = n.right.split(key)
		return &m, above
	}
	return n.left, n.right
}

// join returns the union of two trees, if all keys of the first are below those of the second.
func join(below, above *node) *node {
	switch {
	case below == nil:
		return above
	case above == nil:
		return below
	case below.weight > above.weight:
		m := *below
		m.right = join(below.right, above)
		return &m
	}
	m := *above
	m.left = join(below, above.left)
	return &m
}

// walk visits the nodes of a range in order, ignoring its limit, until visit returns false.
func (n *node) walk(r store.Range, visit func(*node) bool) bool {
	if n == nil {
		return true
	}
	low := bytes.Compare(n.key, r.From) >= 0              // keys from n on may be in the range
	high := r.To == nil || bytes.Compare(n.key, r.To) < 0 // keys up to n may be in the range
	first, second := n.left, n.right
	goFirst, goSecond := low, high
	if r.Reverse {
		first, second, goFirst, goSecond = second, first, high, low
	}
	return (!goFirst || first.walk(r, visit)) &&
		(!(low && high) || visit(n)) &&
		(!goSecond || second.walk(r, visit))
}
