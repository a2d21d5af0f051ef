//! Concurrent tasks.

use std::cell::RefCell;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::head::call_site;
use crate::{executor, scope};

struct Slot<T> {
    result: Option<T>,
    waker: Option<Waker>,
}

/// A task started by [`task`], and a future of its result. Dropping it does not affect the task.
#[must_use = "the work goes on by itself; `drop` this if nobody asks for its result"]
pub struct Task<T> {
    slot: Rc<RefCell<Slot<T>>>,
}

/// Starts a concurrent task in an async workflow. Tasks run in the same order in every replay. When the
/// workflow returns, remaining tasks stop.
///
/// ```
/// # async fn work() -> Result<(), flawless::Error> {
/// let beside = flawless::task(async { flawless::http::get("https://a.example/").send().await });
/// let here = flawless::http::get("https://b.example/").send().await?;
/// let there = beside.await?;
/// # Ok(())
/// # }
/// ```
#[track_caller]
pub fn task<T: 'static>(work: impl Future<Output = T> + 'static) -> Task<T> {
    let slot = Rc::new(RefCell::new(Slot {
        result: None,
        waker: None,
    }));
    let shared = slot.clone();
    let work = scope::same_steps(work);
    let body = async move {
        let result = work.await;
        let waker = {
            let mut slot = shared.borrow_mut();
            slot.result = Some(result);
            slot.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    };
    let site = Location::caller();
    let label = format!("the task of {}", call_site(site.file(), site.line()));
    executor::with(|e| e.spawn(Box::pin(body), label));
    Task { slot }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut slot = self.slot.borrow_mut();
        match slot.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                slot.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn task_returns_its_result() {
        let sum = executor::finish(async {
            let a = task(async { 1 });
            let b = task(async { task(async { 2 }).await });
            a.await + b.await
        });
        assert_eq!(sum, Some(3));
    }

    #[test]
    fn task_continues_without_a_waiter() {
        let seen = Rc::new(RefCell::new(false));
        let shared = seen.clone();
        executor::finish(async move {
            drop(task(async move { *shared.borrow_mut() = true }));
        });
        executor::with(|e| e.run(|| false));
        assert!(*seen.borrow());
    }
}
