//! Blocking on futures in plain functions.

use std::future::IntoFuture;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::head::Head;
use crate::run::{Mode, mode};
use crate::{executor, host, reactor};

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// Runs a future in a plain function and returns its result. Its waits block the run; [`crate::join!`],
/// [`crate::select!`] and [`crate::task`] work in it. [`Wait::wait`] is the same.
///
/// ```
/// # fn work() -> Result<(), flawless::Error> {
/// flawless::block_on(async {
///     let (a, b) = flawless::join!(flawless::http::get("https://a.example/").send(), flawless::http::get("https://b.example/").send());
///     println!("{} {}", a?.status, b?.status);
///     Ok(())
/// })
/// # }
/// ```
///
/// # Panics
/// In an async workflow (use `.await` there), and if the future waits for something that can never come.
#[track_caller]
pub fn block_on<F: IntoFuture>(future: F) -> F::Output {
    assert!(
        mode() != Mode::Async,
        "`block_on` and `wait` block, which an async workflow must not: use `.await`"
    );
    let mut future = pin!(future.into_future());
    let woken = Arc::new(Flag(AtomicBool::new(true)));
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    loop {
        if woken.0.swap(false, Ordering::AcqRel) {
            if let Poll::Ready(result) = future.as_mut().poll(&mut cx) {
                return result;
            }
            continue;
        }
        executor::with(|e| e.run(|| woken.0.load(Ordering::Acquire)));
        if !woken.0.load(Ordering::Acquire) {
            pause();
        }
    }
}

/// Blocks until there is something for a waiting task.
#[track_caller]
fn pause() {
    let timer = reactor::next_timer();
    if timer.is_some_and(|at| at <= host::now()) {
        return reactor::deliver();
    }
    assert!(
        mode() == Mode::Plain,
        "a future waits for what only comes in a workflow"
    );
    let mut list = reactor::awaited();
    let alarm = timer.map(|at| {
        let mut head = Head::new();
        head.int("until", at);
        host::call("sleep", &head.end(), b"")
    });
    list.extend(alarm);
    assert!(
        !list.is_empty(),
        "a future waits for nothing: no call, timer or message can ever wake it"
    );
    list.extend(reactor::watched());
    host::wait(&list);
    if let Some(alarm) = alarm {
        host::forget(alarm);
    }
    reactor::deliver();
}

/// Blocking waits in plain functions, for every future.
///
/// ```
/// use flawless::Wait;
/// # fn work() -> Result<(), flawless::Error> {
/// let order: String = flawless::receive("order").wait()?;
/// # Ok(())
/// # }
/// ```
pub trait Wait: IntoFuture + Sized {
    /// Blocks until the future has its result, see [`block_on`].
    #[track_caller]
    fn wait(self) -> Self::Output {
        block_on(self)
    }
}

impl<F: IntoFuture> Wait for F {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_on_works_outside_a_run() {
        let sum = block_on(async {
            let beside = crate::task(async { 3 });
            let (a, b) = crate::join!(async { 1 }, async { 2 });
            a + b + beside.await
        });
        assert_eq!(sum, 6);
        assert_eq!(std::future::ready(7).wait(), 7);
    }

    #[test]
    #[should_panic(expected = "only comes in a workflow")]
    fn what_needs_a_run_is_told() {
        block_on(std::future::pending::<()>());
    }
}
