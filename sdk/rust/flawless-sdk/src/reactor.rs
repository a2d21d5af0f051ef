//! Tracks which task waits for which answers and times.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::task::Waker;

use crate::call::{Later, Nature};
use crate::head::Head;
use crate::scope::{self, Scope};
use crate::{Cancelled, host, json};

/// A call whose answer a task may wait for.
struct Waiting {
    what: String,
    nature: Nature,
    waker: Option<Waker>,
    others: Vec<Waker>, // of those who only wait until it is settled
    settle: bool,       // it is part of a saga's step, whose undo must not overtake it
    withdrawn: bool,
    scopes: Vec<Scope>, // that know it
}

impl Waiting {
    fn awaited(&self) -> bool {
        self.waker.is_some() || !self.others.is_empty()
    }
}

/// Why a call is withdrawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Why {
    /// Its time has passed.
    Deadline,
    /// The run was cancelled.
    Cancelled,
    /// Nobody waits for it any more.
    Dropped,
}

impl Why {
    fn word(self) -> &'static str {
        match self {
            Why::Deadline => "deadline",
            Why::Cancelled => "cancelled",
            Why::Dropped => "dropped",
        }
    }
}

#[derive(Default)]
struct Reactor {
    calls: BTreeMap<i32, Waiting>,
    dropped: Vec<i32>, // withdrawn calls without an answer, whose futures are gone
    later: Vec<Rc<Later>>, // calls that are made when those have their answers
    timers: BTreeMap<(i64, u64), Waker>,
    timers_made: u64,
    cancellation: i32, // the call that tells of it, 0 where there is none
    cancelled: Option<Cancelled>,
    wakers: Vec<Waker>, // of those who wait for nothing but the cancellation
}

impl Reactor {
    fn close(&mut self, call: i32) {
        if let Some(w) = self.calls.remove(&call) {
            w.scopes.iter().for_each(|s| s.forget(call));
        }
    }
}

thread_local! {
    static REACTOR: RefCell<Reactor> = RefCell::default();
}

/// Registers a call that was made. `what` describes it to people.
pub(crate) fn open(call: i32, what: String, nature: Nature) {
    let waiting = Waiting {
        what,
        nature,
        waker: None,
        others: Vec::new(),
        settle: false,
        withdrawn: false,
        scopes: Vec::new(),
    };
    REACTOR.with_borrow_mut(|r| r.calls.insert(call, waiting));
    note(call);
}

/// Records a call in the scopes of the current code, if they need it.
fn note(call: i32) {
    REACTOR.with_borrow_mut(|r| match r.calls.get_mut(&call) {
        Some(w) if w.nature != Nature::Inside => {
            w.settle |= scope::in_step();
            w.scopes.append(&mut scope::note(call));
        }
        _ => {}
    });
}

/// Makes waits for a call end only with its answer.
pub(crate) fn errand(call: i32) {
    REACTOR.with_borrow_mut(|r| {
        if let Some(w) = r.calls.get_mut(&call) {
            w.nature = Nature::Errand;
        }
    });
    note(call);
}

/// Forgets a call. This may be called late, when a thread ends and its tasks are dropped.
pub(crate) fn close(call: i32) {
    let _ = REACTOR.try_with(|r| r.borrow_mut().close(call));
}

/// Asks the engine, once, to withdraw a call that leaves it. The answer of the call tells the result.
pub(crate) fn withdraw(call: i32, why: Why) {
    let settle = REACTOR.with_borrow_mut(|r| match r.calls.get_mut(&call) {
        Some(w) if w.nature == Nature::Outside && !w.withdrawn && !host::answered(call) => {
            w.withdrawn = true;
            Some(w.settle)
        }
        _ => None,
    });
    let Some(settle) = settle else { return };
    let mut head = Head::new();
    head.int("call", call);
    head.str("why", why.word());
    if settle {
        head.bool("settle", true);
    }
    host::call("withdraw", &head.end(), b"");
}

/// Asks the engine to deliver no message to a `receive` that no code waits for. It may already have one.
pub(crate) fn take_back(call: i32) {
    REACTOR.with_borrow_mut(|r| {
        if let Some(w) = r.calls.get_mut(&call) {
            w.withdrawn = true;
        }
    });
    let mut head = Head::new();
    head.int("call", call);
    head.str("why", Why::Dropped.word());
    host::call("withdraw", &head.end(), b"");
}

/// Whether a call has no outcome because it was withdrawn.
pub(crate) fn was_withdrawn(call: i32) -> bool {
    #[derive(serde::Deserialize)]
    struct Head {
        error: Option<Error>,
    }
    #[derive(serde::Deserialize)]
    struct Error {
        kind: String,
    }
    let asked = REACTOR.with_borrow(|r| r.calls.get(&call).is_some_and(|w| w.withdrawn));
    let kind = || {
        let head: Head = json::decode("an answer", &host::part(call, host::HEAD)).ok()?;
        Some(head.error?.kind)
    };
    asked && kind().is_some_and(|kind| kind == "withdrawn")
}

/// Whether a call is held that leaves the engine, or changes something in it, and has no answer.
pub(crate) fn unsettled(call: i32) -> bool {
    let cared = |w: &Waiting| w.nature != Nature::Inside;
    REACTOR.with_borrow(|r| r.calls.get(&call).is_some_and(cared)) && !host::answered(call)
}

/// Whether a call is held whose answer tells its outcome.
pub(crate) fn has_outcome(call: i32) -> bool {
    let there = REACTOR.with_borrow(|r| r.calls.contains_key(&call));
    there && host::answered(call) && !was_withdrawn(call)
}

/// Withdraws a call whose future is dropped. Until it has its answer, no other call leaves the engine: code
/// that makes the request again does so after the outcome of the first one.
pub(crate) fn abandon(call: i32) {
    withdraw(call, Why::Dropped);
    REACTOR.with_borrow_mut(|r| {
        r.close(call);
        r.dropped.push(call);
    });
}

/// Whether a call whose future was dropped has no answer yet.
pub(crate) fn abandoned() -> bool {
    REACTOR.with_borrow(|r| !r.dropped.is_empty())
}

/// Postpones a call until those whose futures were dropped have their answers.
pub(crate) fn put_off(later: Rc<Later>) {
    REACTOR.with_borrow_mut(|r| r.later.push(later));
}

/// Blocks until the calls whose futures were dropped have their answers, in a plain function.
pub(crate) fn await_abandoned() {
    while let Some(call) = REACTOR.with_borrow(|r| r.dropped.first().copied()) {
        host::wait(&[call]);
        settle();
    }
}

/// Forgets dropped calls that have their answers, and makes the postponed ones.
fn settle() {
    let (settled, later) = REACTOR.with_borrow_mut(|r| {
        let (settled, dropped) = r.dropped.iter().partition(|call| host::answered(**call));
        r.dropped = dropped;
        let later = match r.dropped.is_empty() {
            true => std::mem::take(&mut r.later),
            false => Vec::new(),
        };
        (settled, later)
    });
    let settled: Vec<i32> = settled;
    for call in settled {
        host::forget(call);
    }
    for call in later {
        call.make();
    }
}

/// Wakes a task when the answer of a call arrives, or when the run is cancelled.
pub(crate) fn wait_for(call: i32, waker: &Waker) {
    REACTOR.with_borrow_mut(|r| {
        if let Some(w) = r.calls.get_mut(&call) {
            set(&mut w.waker, waker);
        }
    });
    note(call);
}

/// Wakes a task when the answer of a call arrives for which another task may wait.
pub(crate) fn also_wake(call: i32, waker: &Waker) {
    REACTOR.with_borrow_mut(|r| {
        if let Some(w) = r.calls.get_mut(&call)
            && !w.others.iter().any(|o| o.will_wake(waker))
        {
            w.others.push(waker.clone());
        }
    });
}

/// Wakes the task that waits for a call, because it now waits for another one.
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

/// The key of a timer: its time and a serial number.
pub(crate) type TimerKey = (i64, u64);

/// Returns a key for a new timer.
pub(crate) fn new_timer(at: i64) -> TimerKey {
    REACTOR.with_borrow_mut(|r| {
        r.timers_made += 1;
        (at, r.timers_made)
    })
}

/// Wakes a task at a given time, or when the run is cancelled.
pub(crate) fn wait_until(key: TimerKey, waker: &Waker) {
    REACTOR.with_borrow_mut(|r| r.timers.insert(key, waker.clone()));
}

/// Removes a timer. This may be called late, when a thread ends and its tasks are dropped.
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

/// Sets the call that is answered when the run is cancelled.
pub(crate) fn watch(call: i32) {
    REACTOR.with_borrow_mut(|r| r.cancellation = call);
}

/// Returns the call that is answered when the run is cancelled, unless it was.
pub(crate) fn watched() -> Option<i32> {
    REACTOR.with_borrow(|r| (r.cancellation > 0).then_some(r.cancellation))
}

/// Returns the cancellation of the run, if it was delivered.
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

/// Wakes the tasks whose answers have arrived or whose time has come; all of them if the run was cancelled.
pub(crate) fn deliver() {
    settle();
    let all = watched().is_some() && cancelled().is_some();
    wake_those(all);
}

/// Wakes all tasks that wait for something.
pub(crate) fn wake_all() {
    wake_those(true);
}

fn wake_those(all: bool) {
    let now = host::now();
    let woken = REACTOR.with_borrow_mut(|r| {
        let mut woken = Vec::new();
        for (call, w) in &mut r.calls {
            if w.awaited() && (all || host::answered(*call)) {
                woken.extend(w.waker.take());
                woken.append(&mut w.others);
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

/// Returns the calls for whose answers tasks wait.
pub(crate) fn awaited() -> Vec<i32> {
    REACTOR.with_borrow(|r| {
        let waited = r.calls.iter().filter(|(_, w)| w.awaited());
        waited.map(|(call, _)| *call).collect()
    })
}

/// Returns the time of the next timer.
pub(crate) fn next_timer() -> Option<i64> {
    REACTOR.with_borrow(|r| r.timers.first_key_value().map(|((at, _), _)| *at))
}

/// Lists what tasks wait for, one line each.
pub(crate) fn account() -> Vec<String> {
    REACTOR.with_borrow(|r| {
        let calls = r.calls.iter();
        let dropped = r.dropped.iter();
        calls
            .map(|(n, w)| format!("call {n}: {}", w.what))
            .chain(
                dropped.map(|n| format!("call {n}: its future was dropped, and it has no outcome")),
            )
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
    fn due_timers_wake_and_others_stay() {
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
    fn account_names_the_calls() {
        open(3, "http at src/lib.rs:7".into(), Nature::Outside);
        assert_eq!(account(), ["call 3: http at src/lib.rs:7"]);
        close(3);
        assert!(account().is_empty());
    }
}
