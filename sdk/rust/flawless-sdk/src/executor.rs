//! The executor of async workflows: one thread, tasks in the order in which they were woken.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

use crate::scope;

type Body = Pin<Box<dyn Future<Output = ()>>>;

/// The tasks that were woken, oldest first.
#[derive(Default)]
struct Ready(Mutex<VecDeque<u64>>);

impl Ready {
    fn push(&self, id: u64) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(id);
    }

    fn pop(&self) -> Option<u64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    }
}

/// The waker of a task.
struct Alarm {
    id: u64,
    queued: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.ready.push(self.id);
        }
    }
}

struct Task {
    body: Option<Body>, // none while it is polled
    alarm: Arc<Alarm>,
    waker: Waker,
    label: String,
}

/// An executor. Its tasks may spawn tasks.
#[derive(Default)]
pub(crate) struct Executor {
    tasks: RefCell<BTreeMap<u64, Task>>,
    made: Cell<u64>,
    ready: Arc<Ready>,
}

impl Executor {
    /// Adds a task, which starts when the executor runs next or continues. The label describes it to people.
    pub(crate) fn spawn(&self, body: Body, label: String) {
        let id = self.made.get() + 1;
        self.made.set(id);
        let alarm = Arc::new(Alarm {
            id,
            queued: AtomicBool::new(true),
            ready: self.ready.clone(),
        });
        let waker = Waker::from(alarm.clone());
        let task = Task {
            body: Some(body),
            alarm,
            waker,
            label,
        };
        self.tasks.borrow_mut().insert(id, task);
        self.ready.push(id);
    }

    /// Runs tasks until none is woken, or `over` returns true.
    pub(crate) fn run(&self, over: impl Fn() -> bool) {
        while !over()
            && let Some(id) = self.ready.pop()
        {
            self.step(id);
        }
    }

    fn step(&self, id: u64) {
        let taken = self.tasks.borrow_mut().get_mut(&id).and_then(|task| {
            task.alarm.queued.store(false, Ordering::Release);
            Some((task.body.take()?, task.waker.clone()))
        });
        let Some((mut body, waker)) = taken else {
            return; // it has ended
        };
        let mut cx = Context::from_waker(&waker);
        let done = scope::outside(|| body.as_mut().poll(&mut cx).is_ready());
        if done {
            drop(body);
            self.tasks.borrow_mut().remove(&id);
        } else if let Some(task) = self.tasks.borrow_mut().get_mut(&id) {
            task.body = Some(body);
        }
    }

    /// Returns the labels of the tasks that have not ended.
    pub(crate) fn labels(&self) -> Vec<String> {
        let tasks = self.tasks.borrow();
        tasks.values().map(|task| task.label.clone()).collect()
    }
}

thread_local! {
    static EXECUTOR: Executor = Executor::default();
}

/// Runs code with the executor of the run.
pub(crate) fn with<T>(f: impl FnOnce(&Executor) -> T) -> T {
    EXECUTOR.with(f)
}

/// Runs a future as far as possible without waiting, and returns its result if it ends.
#[cfg(test)]
pub(crate) fn finish<T: 'static>(future: impl Future<Output = T> + 'static) -> Option<T> {
    let result = std::rc::Rc::new(Cell::new(None));
    let shared = result.clone();
    with(|e| {
        e.spawn(
            Box::pin(async move { shared.set(Some(future.await)) }),
            String::new(),
        );
        e.run(|| false);
    });
    result.take()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::rc::Rc;
    use std::task::Poll;

    /// Lets other tasks go first, `n` times.
    async fn step_back(n: usize) {
        let mut left = n;
        poll_fn(move |cx| {
            if left == 0 {
                return Poll::Ready(());
            }
            left -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    #[test]
    fn tasks_run_in_the_order_in_which_they_are_woken() {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let executor = Executor::default();
        for name in ["a", "b"] {
            let seen = seen.clone();
            let body = async move {
                for k in 0..2 {
                    seen.borrow_mut().push(format!("{name}{k}"));
                    step_back(1).await;
                }
            };
            executor.spawn(Box::pin(body), String::new());
        }
        executor.run(|| false);
        assert_eq!(*seen.borrow(), ["a0", "b0", "a1", "b1"]);
        assert!(executor.labels().is_empty());
    }

    #[test]
    fn task_woken_twice_runs_once() {
        let polls = Rc::new(Cell::new(0));
        let waker: Rc<RefCell<Option<Waker>>> = Rc::default();
        let executor = Executor::default();
        let (p, w) = (polls.clone(), waker.clone());
        let body = poll_fn(move |cx| {
            p.set(p.get() + 1);
            w.replace(Some(cx.waker().clone()));
            Poll::Pending
        });
        executor.spawn(Box::pin(body), String::new());
        executor.run(|| false);
        let waker = waker.take().unwrap();
        waker.wake_by_ref();
        waker.wake();
        executor.run(|| false);
        assert_eq!(polls.get(), 2);
        assert_eq!(executor.labels().len(), 1);
    }

    #[test]
    fn executor_stops_on_request() {
        let polls = Rc::new(Cell::new(0));
        let executor = Executor::default();
        let (p, enough) = (polls.clone(), polls.clone());
        let body = async move {
            loop {
                p.set(p.get() + 1);
                step_back(1).await;
            }
        };
        executor.spawn(Box::pin(body), String::new());
        executor.run(|| enough.get() == 5);
        assert_eq!(polls.get(), 5);
    }
}
