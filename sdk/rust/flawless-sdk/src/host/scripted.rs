//! What stands in for the engine in unit tests: it takes calls down, and answers them when told.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::run::{self, Mode};
use crate::{executor, reactor};

#[path = "outside.rs"]
mod outside;
pub(crate) use outside::random;

#[derive(Default)]
struct Engine {
    made: i32,
    log: Vec<String>, // of calls, and of tasks that have ended
    answers: BTreeMap<i32, String>,
    now: i64, // 0 is the time of day
}

thread_local! {
    static ENGINE: RefCell<Engine> = RefCell::default();
}

/// An async run of a test, until it is dropped.
pub(crate) struct Run(());

impl Run {
    pub(crate) fn begin() -> Self {
        run::set(Mode::Async);
        ENGINE.with_borrow_mut(|e| e.now = 1);
        Run(())
    }

    /// Begins a task and takes a turn. The log tells what the task ends with.
    pub(crate) fn task<T: std::fmt::Debug>(&self, work: impl Future<Output = T> + 'static) {
        let work = async move {
            let end = work.await;
            ENGINE.with_borrow_mut(|e| e.log.push(format!("end: {end:?}")));
        };
        executor::with(|e| e.spawn(Box::pin(work), String::new()));
        self.turn();
    }

    /// Hands over the answer of a call in the next turn. Its body is `null`.
    pub(crate) fn hand_over(&self, call: i32, head: &str) {
        ENGINE.with_borrow_mut(|e| e.answers.insert(call, head.to_owned()));
    }

    /// Takes a turn with the answer of a call.
    pub(crate) fn answer(&self, call: i32, head: &str) {
        self.hand_over(call, head);
        self.turn();
    }

    /// Takes a turn with the answer of a call that was withdrawn.
    pub(crate) fn withdrawn(&self, call: i32) {
        self.answer(call, r#"{"error":{"kind":"withdrawn","message":"m"}}"#);
    }

    /// Takes a turn in which the run is cancelled, which is a call of its own.
    pub(crate) fn cancel(&self) {
        let number = call("cancelled", b"", b"");
        reactor::watch(number);
        self.answer(number, "{}");
    }

    /// Takes a turn after some seconds.
    pub(crate) fn pass(&self, seconds: i64) {
        ENGINE.with_borrow_mut(|e| e.now += seconds * 1_000_000_000);
        self.turn();
    }

    fn turn(&self) {
        reactor::deliver();
        executor::with(|e| e.run(reactor::abandoned));
    }

    /// Returns what has happened since it was asked last: calls with number, kind and head, but for the
    /// site, and the ends of tasks.
    pub(crate) fn log(&self) -> Vec<String> {
        ENGINE.with_borrow_mut(|e| std::mem::take(&mut e.log))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        run::set(Mode::Outside);
    }
}

pub(crate) fn call(kind: &str, head: &[u8], _body: &[u8]) -> i32 {
    let head = String::from_utf8_lossy(head);
    let head = match head.split_once(r#","at":"#) {
        Some((head, _)) => format!("{head}}}"),
        None => head.into_owned(),
    };
    ENGINE.with_borrow_mut(|e| {
        e.made += 1;
        e.log.push(format!("{} {kind} {head}", e.made));
        e.made
    })
}

pub(crate) fn answered(call: i32) -> bool {
    ENGINE.with_borrow(|e| e.answers.contains_key(&call))
}

pub(crate) fn part(call: i32, part: i32) -> Vec<u8> {
    match part {
        super::HEAD => ENGINE.with_borrow(|e| {
            e.answers
                .get(&call)
                .cloned()
                .unwrap_or_default()
                .into_bytes()
        }),
        _ => b"null".to_vec(),
    }
}

pub(crate) fn wait(_calls: &[i32]) {
    panic!("an async run does not wait here");
}

pub(crate) fn forget(call: i32) {
    // It may come late, when a thread ends and its tasks are dropped.
    let _ = ENGINE.try_with(|e| e.borrow_mut().answers.remove(&call));
}

pub(crate) fn now() -> i64 {
    match ENGINE.with_borrow(|e| e.now) {
        0 => outside::now(),
        now => now,
    }
}
