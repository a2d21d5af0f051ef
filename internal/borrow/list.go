package borrow

import (
	"context"
	"sync"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// State returns a state with its holder and queue, or flawless.NotFound. While a state of another server has no owner that
// can be asked, its queue is missing.
func (s *States) State(ctx context.Context, name string) (flawless.State, error) {
	st, err := s.o.Locks.State(ctx, name)
	one := []flawless.State{st}
	if err == nil {
		s.addQueues(ctx, one)
	}
	return one[0], err
}

// States returns at most limit states in the order of their names, beginning with from. next is the beginning of the
// next page, "" at the end. See State for their queues.
func (s *States) States(ctx context.Context, from string, limit int) (page []flawless.State, next string, err error) {
	page, next, err = s.o.Locks.States(ctx, from, limit)
	if err == nil {
		s.addQueues(ctx, page)
	}
	return page, next, err
}

// addQueues asks the owners of states for their queues. Only a state that somebody holds has one.
func (s *States) addQueues(ctx context.Context, page []flawless.State) {
	by := map[store.Shard][]*flawless.State{}
	for i := range page {
		if st := &page[i]; st.Holder != nil && s.o.Owns(st.Name) != nil {
			sh := shardOf(st.Name)
			by[sh] = append(by[sh], st)
		}
	}
	var all sync.WaitGroup
	for sh, states := range by {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, askTime)
			defer cancel()
			var names []string
			for _, st := range states {
				names = append(names, st.Name)
			}
			queues, err := opQueues.Ask(ctx, s.o.Peers, sh, names)
			if err != nil || len(queues) != len(states) {
				return
			}
			for i, st := range states {
				st.Queue = queues[i]
			}
		})
	}
	all.Wait()
}

// Queues returns the calls that wait for states of this server, each in the order in which they get it.
func (s *States) Queues(names []string) (queues [][]flawless.Claim, err error) {
	for _, name := range names {
		if err := s.o.Owns(name); err != nil {
			return nil, err
		}
		queues = append(queues, s.o.Locks.Queue(name))
	}
	return queues, nil
}
