//! Who waits for what: tasks for answers and for moments.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::task::Waker;

use crate::{Cancelled, host};

/// A call whose answer may be waited for.
struct Waiting {
    what: String,
    waker: Option<Waker>,
}

#[derive(Default)]
struct Reactor {
    calls: BTreeMap<i32, Waiting>,
    timers: BTreeMap<(i64, u64), Waker>,
    timers_made: u64,
    cancellation: i32, // the call that tells of it, 0 where there is none
    cancelled: Option<Cancelled>,
    wakers: Vec<Waker>, // of those who wait for nothing but the cancellation
}

thread_local! {
    static REACTOR: RefCell<Reactor> = RefCell::default();
}

/// Takes down a call that was made. `what` says so to people.
pub(crate) fn open(call: i32, what: String) {
    REACTOR.with_borrow_mut(|r| r.calls.insert(call, Waiting { what, waker: None }));
}

/// Forgets a call. It may come late, when a thread ends and its tasks are dropped.
pub(crate) fn close(call: i32) {
    let _ = REACTOR.try_with(|r| r.borrow_mut().calls.remove(&call));
}

/// Wakes a task when the answer of a call comes, or the run is cancelled.
pub(crate) fn wait_for(call: i32, waker: &Waker) {
    REACTOR.with_borrow_mut(|r| {
        if let Some(w) = r.calls.get_mut(&call) {
            set(&mut w.waker, waker);
        }
    });
}

/// Wakes the task that waits for the answer of a call, for it waits for another.
pub(crate) fn wake(call: i32) {
    let waker = REACTOR.with_borrow_mut(|r| r.calls.get_mut(&call).and_then(|w| w.waker.take()));
    if let Some(waker) = waker {
        waker.wake();
    }
}

fn set(place: &mut Option<Waker>, waker: &Waker) {
    match place {
        Some(old) => old.clone_from(waker),
        None => *place = Some(waker.clone()),
    }
}

/// The place of a timer among those there are.
pub(crate) type TimerKey = (i64, u64);

/// Returns a new place for a timer.
pub(crate) fn new_timer(at: i64) -> TimerKey {
    REACTOR.with_borrow_mut(|r| {
        r.timers_made += 1;
        (at, r.timers_made)
    })
}

/// Wakes a task at a moment, or when the run is cancelled.
pub(crate) fn wait_until(key: TimerKey, waker: &Waker) {
    REACTOR.with_borrow_mut(|r| r.timers.insert(key, waker.clone()));
}

/// Takes a timer out. It may come late, when a thread ends and its tasks are dropped.
pub(crate) fn drop_timer(key: TimerKey) {
    let _ = REACTOR.try_with(|r| r.borrow_mut().timers.remove(&key));
}

/// Wakes a task when the run is cancelled.
pub(crate) fn wait_for_cancellation(waker: &Waker) {
    REACTOR.with_borrow_mut(|r| {
        if !r.wakers.iter().any(|w| w.will_wake(waker)) {
            r.wakers.push(waker.clone());
        }
    });
}

/// Says which call tells that the run is cancelled.
pub(crate) fn watch(call: i32) {
    REACTOR.with_borrow_mut(|r| r.cancellation = call);
}

/// Returns the call that tells of a cancellation which has not come yet.
pub(crate) fn watched() -> Option<i32> {
    REACTOR.with_borrow(|r| (r.cancellation > 0).then_some(r.cancellation))
}

/// Returns the cancellation of the run, if it was handed over.
pub(crate) fn cancelled() -> Option<Cancelled> {
    if let Some(call) = watched()
        && host::answered(call)
    {
        let why = Cancelled::read(&host::part(call, host::HEAD));
        host::forget(call);
        REACTOR.with_borrow_mut(|r| {
            r.cancellation = 0;
            r.cancelled = Some(why);
        });
    }
    REACTOR.with_borrow(|r| r.cancelled.clone())
}

/// Wakes the tasks whose answers have come or whose moment has; all of them if the run was cancelled.
pub(crate) fn deliver() {
    let all = watched().is_some() && cancelled().is_some();
    let now = host::now();
    let woken = REACTOR.with_borrow_mut(|r| {
        let mut woken = Vec::new();
        for (call, w) in &mut r.calls {
            if w.waker.is_some() && (all || host::answered(*call)) {
                woken.extend(w.waker.take());
            }
        }
        let later = r
            .timers
            .split_off(&(if all { i64::MAX } else { now }, u64::MAX));
        woken.extend(std::mem::replace(&mut r.timers, later).into_values());
        if all {
            woken.append(&mut r.wakers);
        }
        woken
    });
    for waker in woken {
        waker.wake();
    }
}

/// Returns the calls whose answers somebody waits for.
pub(crate) fn awaited() -> Vec<i32> {
    REACTOR.with_borrow(|r| {
        let waited = r.calls.iter().filter(|(_, w)| w.waker.is_some());
        waited.map(|(call, _)| *call).collect()
    })
}

/// Returns the moment of the next timer.
pub(crate) fn next_timer() -> Option<i64> {
    REACTOR.with_borrow(|r| r.timers.first_key_value().map(|((at, _), _)| *at))
}

/// Says what is waited for, a line for each.
pub(crate) fn account() -> Vec<String> {
    REACTOR.with_borrow(|r| {
        r.calls
            .iter()
            .map(|(n, w)| format!("call {n}: {}", w.what))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn timers_that_are_due_wake_and_the_others_stay() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let later = host::now() + 1_000_000_000_000;
        wait_until(new_timer(1), &waker);
        wait_until(new_timer(1), &waker);
        let dropped = new_timer(2);
        wait_until(dropped, &waker);
        drop_timer(dropped);
        wait_until(new_timer(later), &waker);
        deliver();
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
        assert_eq!(next_timer(), Some(later));
    }

    #[test]
    fn an_account_names_the_calls() {
        open(3, "http at src/lib.rs:7".into());
        assert_eq!(account(), ["call 3: http at src/lib.rs:7"]);
        close(3);
        assert!(account().is_empty());
    }
}
