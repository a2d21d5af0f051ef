//! Mutual exclusion among the tasks of a run.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

#[derive(Default)]
struct Inside {
    taken: bool,
    waiting: VecDeque<Waker>,
}

/// Lets one task in at a time.
#[derive(Clone, Default)]
pub(crate) struct Gate(Rc<RefCell<Inside>>);

/// Opens the gate again when it is dropped.
pub(crate) struct Entered(Gate);

impl Gate {
    /// Waits until the gate is free, and enters.
    pub async fn enter(&self) -> Entered {
        poll_fn(|cx| {
            let mut inside = self.0.borrow_mut();
            if inside.taken {
                inside.waiting.push_back(cx.waker().clone());
                return Poll::Pending;
            }
            inside.taken = true;
            Poll::Ready(Entered(self.clone()))
        })
        .await
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let waiting = {
            let mut inside = self.0.0.borrow_mut();
            inside.taken = false;
            std::mem::take(&mut inside.waiting)
        };
        for waker in waiting {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::finish;

    #[test]
    fn gate_admits_one_at_a_time() {
        let (gate, log) = (Gate::default(), Rc::new(RefCell::new(Vec::new())));
        let work = |k: u32| {
            let (gate, log) = (gate.clone(), log.clone());
            crate::task(async move {
                let _in = gate.enter().await;
                log.borrow_mut().push(k);
                let mut again = true;
                poll_fn(|cx| {
                    cx.waker().wake_by_ref();
                    match std::mem::take(&mut again) {
                        true => Poll::Pending,
                        false => Poll::Ready(()),
                    }
                })
                .await;
                log.borrow_mut().push(k);
            })
        };
        let all = [work(1), work(2), work(3)];
        finish(crate::join_all(all));
        assert_eq!(*log.borrow(), [1, 1, 2, 2, 3, 3]);
    }
}
