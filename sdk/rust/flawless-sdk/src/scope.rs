//! Tracks which calls a future has open, so that it is not given up before they are settled.
//!
//! While a branch of a [`crate::select!`], a saga or a step of a saga is polled, its scope is on a stack, and
//! each call that is made or polled is recorded in every scope on the stack.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::reactor::{self, Why};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A future that may be given up.
    Branch,
    /// A saga. It is notified when a branch around it is given up, so that it can undo its steps.
    Saga,
    /// A step of a saga. Its undo starts after the outcomes of its calls.
    Step,
}

struct Inside {
    kind: Kind,
    calls: RefCell<BTreeSet<i32>>,
    busy: Cell<u32>, // shields and sagas in it that have not ended
    over: Cell<bool>,
}

/// The calls of a future.
#[derive(Clone)]
pub(crate) struct Scope(Rc<Inside>);

thread_local! {
    static STACK: RefCell<Vec<Scope>> = const { RefCell::new(Vec::new()) };
    static DEADLINE: Cell<i64> = const { Cell::new(i64::MAX) };
}

/// Returns when the current code is given up by a [`crate::timeout()`], in nanoseconds since 1970, if ever.
/// Code behind a shield is not.
pub(crate) fn deadline() -> Option<i64> {
    Some(DEADLINE.get()).filter(|at| *at < i64::MAX)
}

/// A future with a deadline.
pub(crate) struct Within<F> {
    at: i64,
    future: Pin<Box<F>>,
}

/// Sets the deadline of a future.
pub(crate) fn within<F: Future>(at: i64, future: F) -> Within<F> {
    // What needs no drop is a borrowed future, which is not given up.
    let at = if std::mem::needs_drop::<F>() {
        at
    } else {
        i64::MAX
    };
    Within {
        at,
        future: Box::pin(future),
    }
}

impl<F: Future> Future for Within<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let _restore = Deadline::set(self.at.min(DEADLINE.get()));
        self.future.as_mut().poll(cx)
    }
}

/// Restores the deadline when it is dropped.
struct Deadline(i64);

impl Deadline {
    fn set(at: i64) -> Self {
        Deadline(DEADLINE.replace(at))
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        DEADLINE.set(self.0);
    }
}

/// What a future that was given up may still do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum GivenUp {
    /// It was not given up.
    No,
    /// It is dropped as soon as its calls are settled; its waits never end.
    Quietly,
    /// It is part of a saga, which must end: each wait ends with an error.
    Told,
}

/// Returns whether the current code was given up.
pub(crate) fn given_up() -> GivenUp {
    STACK.with_borrow(|stack| {
        let over = |s: &Scope| s.0.kind == Kind::Branch && s.0.over.get();
        match stack.iter().rposition(over) {
            None => GivenUp::No,
            Some(at) if stack[at..].iter().any(|s| s.0.kind == Kind::Saga) => GivenUp::Told,
            Some(_) => GivenUp::Quietly,
        }
    })
}

/// Whether the current code is part of a step of a saga.
pub(crate) fn in_step() -> bool {
    STACK.with_borrow(|stack| stack.iter().any(|s| s.0.kind == Kind::Step))
}

/// Records a call in the scopes of the current code, and returns those that did not have it.
pub(crate) fn note(call: i32) -> Vec<Scope> {
    STACK.with_borrow(|stack| {
        let new = |s: &&Scope| s.0.calls.borrow_mut().insert(call);
        stack.iter().filter(new).cloned().collect()
    })
}

/// Restores the stack when it is dropped.
struct Restore(Vec<Scope>, #[allow(dead_code)] Deadline);

impl Restore {
    fn swap(stack: Vec<Scope>) -> Self {
        Restore(STACK.replace(stack), Deadline::set(i64::MAX))
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        STACK.replace(std::mem::take(&mut self.0));
    }
}

/// Runs code outside all scopes.
pub(crate) fn outside<T>(f: impl FnOnce() -> T) -> T {
    let _restore = Restore::swap(Vec::new());
    f()
}

/// Runs code that is not given up together with the code around it. It stays part of the steps of a saga.
pub(crate) fn sheltered<T>(f: impl FnOnce() -> T) -> T {
    let _restore = Restore::swap(steps());
    f()
}

fn steps() -> Vec<Scope> {
    STACK.with_borrow(|stack| {
        let steps = stack.iter().filter(|s| s.0.kind == Kind::Step);
        steps.cloned().collect()
    })
}

/// Makes a future part of the current steps of sagas, wherever it is polled.
pub(crate) fn same_steps<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let steps = steps();
    let mut future = Box::pin(future);
    std::future::poll_fn(move |cx| {
        let _restore = Restore::swap(steps.clone());
        future.as_mut().poll(cx)
    })
}

/// Work that must complete: while this exists, the branches around it are not dropped.
pub(crate) struct Busy(Vec<Scope>);

/// Keeps the branches around the current code from being dropped.
pub(crate) fn busy() -> Busy {
    let scopes = STACK.with_borrow(Clone::clone);
    for s in &scopes {
        s.0.busy.set(s.0.busy.get() + 1);
    }
    Busy(scopes)
}

impl Drop for Busy {
    fn drop(&mut self) {
        for s in &self.0 {
            s.0.busy.set(s.0.busy.get() - 1);
        }
    }
}

impl Scope {
    fn new(kind: Kind) -> Self {
        Scope(Rc::new(Inside {
            kind,
            calls: RefCell::default(),
            busy: Cell::new(0),
            over: Cell::new(false),
        }))
    }

    pub(crate) fn branch() -> Self {
        Scope::new(Kind::Branch)
    }

    pub(crate) fn saga() -> Self {
        Scope::new(Kind::Saga)
    }

    pub(crate) fn step() -> Self {
        Scope::new(Kind::Step)
    }

    /// Runs code inside the scope.
    pub(crate) fn enter<T>(&self, f: impl FnOnce() -> T) -> T {
        struct Leave;
        impl Drop for Leave {
            fn drop(&mut self) {
                STACK.with_borrow_mut(Vec::pop);
            }
        }
        STACK.with_borrow_mut(|stack| stack.push(self.clone()));
        let _leave = Leave;
        f()
    }

    /// Puts a future into the scope.
    pub(crate) fn around<F: Future>(self, future: F) -> Around<F> {
        Around {
            scope: self,
            future: Box::pin(future),
        }
    }

    /// Removes a call whose answer was taken, or is not wanted any more.
    pub(crate) fn forget(&self, call: i32) {
        self.0.calls.borrow_mut().remove(&call);
    }

    /// Whether a shield or a saga in it has not ended.
    pub(crate) fn busy(&self) -> bool {
        self.0.busy.get() > 0
    }

    /// Withdraws the calls, and lets no others begin.
    pub(crate) fn give_up(&self, why: Why) {
        let first = !self.0.over.replace(true);
        self.withdraw(why);
        if first && self.busy() {
            reactor::wake_all(); // so that a saga in it hears of it
        }
    }

    fn withdraw(&self, why: Why) {
        for call in self.0.calls.borrow().iter() {
            reactor::withdraw(*call, why);
        }
    }

    /// Whether polling its future can make progress: there is an answer that is not that of a withdrawn call,
    /// or one may still come.
    pub(crate) fn live(&self) -> bool {
        self.0.busy.get() > 0
            || self.any(|call| reactor::unsettled(call) || reactor::has_outcome(call))
    }

    /// Whether it must not be dropped yet. If so, the waker is woken when that may have changed.
    pub(crate) fn unsettled(&self, cx: &Context<'_>) -> bool {
        let mut open = false;
        for call in self.0.calls.borrow().iter() {
            if reactor::unsettled(*call) {
                reactor::also_wake(*call, cx.waker());
                open = true;
            }
        }
        open || self.busy()
    }

    fn any(&self, f: impl Fn(i32) -> bool) -> bool {
        self.0.calls.borrow().iter().any(|call| f(*call))
    }

    /// Withdraws the calls, and waits until each has its answer.
    pub(crate) async fn settle(&self) {
        self.withdraw(Why::Dropped);
        std::future::poll_fn(|cx| {
            self.unsettled(cx);
            match self.any(reactor::unsettled) {
                true => Poll::Pending,
                false => Poll::Ready(()),
            }
        })
        .await
    }
}

/// A future in a scope.
pub(crate) struct Around<F> {
    scope: Scope,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Around<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        this.scope.enter(|| this.future.as_mut().poll(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::scripted::Run;
    use crate::{http, shield, shielded, task};

    #[test]
    fn scope_tracks_its_open_calls() {
        let run = Run::begin();
        let (scope, own) = (Scope::branch(), Scope::branch());
        let known = |s: &Scope| s.0.calls.borrow().iter().copied().collect::<Vec<_>>();
        let first = own.enter(|| http::get("a").send());
        scope.enter(|| {
            drop(shielded(|| http::get("b").send()));
            drop(crate::receive_message::<()>("c"));
        });
        run.task(scope.clone().around(async move {
            let beside = task(async { http::get("d").send().await });
            assert!(first.await.is_ok());
            assert!(shield(async { http::get("e").send().await }).await.is_ok());
            beside.await
        }));
        assert_eq!((known(&scope), known(&own)), (vec![], vec![1])); // the dropped one holds them back
        run.withdrawn(2);
        assert_eq!(known(&scope), [1]);
        run.answer(1, r#"{"status":200}"#);
        assert_eq!((known(&scope), known(&own)), (vec![], vec![]));
    }

    #[test]
    fn task_stays_part_of_its_step() {
        let run = Run::begin();
        let (branch, step) = (Scope::branch(), Scope::step());
        let begun = branch.enter(|| step.enter(|| task(async { (in_step(), given_up()) })));
        branch.give_up(Why::Deadline);
        run.task(begun);
        assert_eq!(run.log(), ["end: (true, No)"]);
    }
}
