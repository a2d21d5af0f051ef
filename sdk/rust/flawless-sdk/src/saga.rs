//! Sagas: steps that either all take effect or are undone.

use std::cell::{Cell, RefCell};
use std::error::Error as StdError;
use std::fmt;
use std::hint::black_box;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use serde::Deserialize;

use crate::asking::{Asked, Asking};
use crate::head::Head;
use crate::http::Retry;
use crate::log::complain;
use crate::run::{Mode, mode};
use crate::scope::{self, GivenUp, Scope};
use crate::size::cut;
use crate::{Error, block_on, host, json, reactor, shield, sleep};

type Undoing = Pin<Box<dyn Future<Output = Result<(), Error>>>>;

struct Undo {
    name: String,
    number: i64,  // of the step within the run
    calls: Scope, // of the step
    make: Box<dyn FnMut() -> Undoing>,
}

/// Runs a saga. If `f` returns an error, including the error of a cancelled run, the undos of the steps that
/// were taken run in reverse order, behind a [`crate::shield()`]; then the error is returned. A failed undo
/// is tried again: 10 attempts, one second before the second attempt, twice as long before each further one,
/// at most a minute.
///
/// If an undo fails for good, the run becomes unresolved and lists the steps that are done, undone and not
/// undone. A person then fixes the problem and resolves the call: `--retry` tries the undo again,
/// `--response` counts it as done, and `--error` gives it up; the remaining steps are undone then, and the
/// error is [`Error::Undo`].
///
/// An undo never overtakes its step: the open requests of the step are withdrawn, and the undo starts once
/// the outcome of each is known, including idempotent ones. If a [`crate::timeout`] or [`crate::select!`]
/// around it gives up the saga, its waits end with [`Error::GivenUp`], its steps are undone, and the code
/// around it waits for that. Code that drops the future of a saga by hand leaves its steps done; a line of
/// the log names them.
///
/// A panic in `f` is not an error, and nothing can catch it, because WebAssembly has no unwinding. In a plain
/// workflow the undos still run as above before the run fails with the panic; other tasks continue in the
/// meantime. In an async workflow nothing could wait for an undo, so the run fails at once. In both cases,
/// the failure and a line of the log name the steps that were taken and not undone, newest first: those of an
/// async workflow, those that were given up, and those of other tasks. The same applies if the guest exits,
/// traps or runs out of memory, and if somebody terminates the run. So return errors instead of panicking, or
/// use a plain workflow. An undo that panics ends the run at once, and so does one that borrows what the
/// panicking code has borrowed; the log says what it was undoing.
///
/// ```
/// use flawless::{Error, http};
///
/// # async fn work() -> Result<(), Error> {
/// flawless::saga(async |saga| {
///     saga.step("charge", http::put("https://pay.example/charges/4711").send(), || async {
///         http::delete("https://pay.example/charges/4711").send().await?.success().map(drop)
///     }).await?;
///     saga.step("ship", http::post("https://ship.example/").send(), || async { Ok(()) }).await?;
///     Ok(())
/// }).await
/// # }
/// ```
pub async fn saga<T, E>(f: impl AsyncFnOnce(&mut Saga) -> Result<T, E>) -> Result<T, E>
where
    E: From<Error> + fmt::Display,
{
    saga_with(Retry::default(), f).await
}

/// Runs a saga like [`saga`]. `undo` says how often and when a failed undo is tried again; a field that is
/// zero has its default. Statuses and jitter have no effect.
pub async fn saga_with<T, E>(
    undo: Retry,
    f: impl AsyncFnOnce(&mut Saga) -> Result<T, E>,
) -> Result<T, E>
where
    E: From<Error> + fmt::Display,
{
    // By this text `flawless build` knows that a module uses sagas. It is here because this function is generic:
    // it is in a module only where code of the module calls it, however it is linked.
    black_box("flawless: this module uses sagas");
    let mut saga = Saga(Rc::new(Taken {
        undos: RefCell::default(),
        retry: undo,
    }));
    let taken = saga.0.clone();
    let _busy = scope::busy();
    let open = Open::new(taken.clone());
    let f = f(&mut saga);
    let result = Marked {
        taken: taken.clone(),
        future: Box::pin(Scope::saga().around(f)),
    }
    .await;
    match result {
        Ok(value) => {
            open.succeeded();
            Ok(value)
        }
        Err(e) => {
            let cause = e.to_string();
            let lost = shield(taken.undo(&cause)).await;
            if lost.is_empty() {
                return Err(e);
            }
            lost.iter().for_each(Undo::settled); // the error names them
            let steps = lost.into_iter().map(|u| u.name).collect();
            Err(Error::Undo(UndoError { steps, cause }).into())
        }
    }
}

/// The saga passed to the function, see [`saga`].
pub struct Saga(Rc<Taken>);

/// The steps of a saga. A panic may access them while code of the saga is on the stack, so nothing stays
/// borrowed while other code runs.
struct Taken {
    undos: RefCell<Vec<Undo>>,
    retry: Retry,
}

thread_local! {
    /// The number of steps of all sagas so far.
    static STEPS: Cell<i64> = const { Cell::new(0) };
    /// The sagas whose code is on the stack, outermost first.
    static INSIDE: RefCell<Vec<Rc<Taken>>> = RefCell::default();
}

/// A saga that has not ended.
struct Open(Rc<Taken>);

impl Open {
    fn new(taken: Rc<Taken>) -> Self {
        Open(taken)
    }

    /// Keeps the steps: they need no undo any more.
    fn succeeded(self) {
        let kept = self.0.undos.take();
        kept.iter().for_each(Undo::settled);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let left = self.0.names();
        if mode() != Mode::Outside && !left.is_empty() {
            let left = left.join(", ");
            complain(
                &format!("a saga was dropped before it had ended; not undone: {left}"),
                "",
            );
        }
    }
}

/// The code of a saga, which is marked as being on the stack while it is polled.
struct Marked<F> {
    taken: Rc<Taken>,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Marked<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        INSIDE.with_borrow_mut(|all| all.push(self.taken.clone()));
        let polled = self.future.as_mut().poll(cx);
        INSIDE.with_borrow_mut(Vec::pop);
        polled
    }
}

/// Undoes the sagas that a panic came out of, as far as possible; the engine names the steps that are left.
/// The panic hook calls it while their code is still on the stack, which never continues. It must not panic
/// itself. It reports which steps it is about to undo.
pub(crate) fn panicked(message: &str, undoing: impl Fn(&[String])) {
    let innermost = || INSIDE.try_with(|all| all.try_borrow_mut().ok()?.pop());
    while mode() == Mode::Plain
        && let Ok(Some(taken)) = innermost()
    {
        undoing(&taken.names());
        block_on(shield(taken.undo(&format!("a panic: {message}"))));
    }
}

impl Undo {
    /// Tells the engine that the step is undone, or need not be any more.
    fn settled(&self) {
        let mut head = Head::new();
        head.int("n", self.number);
        host::note("step", &head.end());
    }
}

/// Tells the engine about a step that is about to be taken, and returns its number. If the run ends in a way
/// that prevents undos (the guest exits, runs out of memory, traps or panics in an async workflow, or
/// somebody terminates the run), the engine names the steps that are left.
fn note(name: &str) -> i64 {
    const MOST: usize = 200;
    let number = STEPS.get() + 1;
    STEPS.set(number);
    let name = match name {
        "" => "a step without a name",
        name => name,
    };
    let mut head = Head::new();
    head.int("n", number);
    head.str("name", &cut(name, MOST));
    host::note("step", &head.end());
    number
}

impl Saga {
    /// Takes a step and registers `undo` in case the saga fails. It registers `undo` before the step is
    /// taken, and `undo` also runs if the step fails, because it may have taken effect in part; `undo` must
    /// be right in both cases. If the run is already cancelled, the step is not taken and nothing is
    /// registered.
    ///
    /// The step is what begins when it is awaited; a request whose [`crate::http::Request::send`] was already
    /// called is in flight before that.
    pub async fn step<T, E, F>(
        &mut self,
        name: &str,
        step: impl IntoFuture<Output = Result<T, E>>,
        mut undo: impl FnMut() -> F + 'static,
    ) -> Result<T, E>
    where
        E: From<Error>,
        F: Future<Output = Result<(), Error>> + 'static,
    {
        if let Some(why) = reactor::cancelled() {
            return Err(Error::Cancelled(why).into());
        }
        if scope::given_up() == GivenUp::Told {
            return Err(Error::GivenUp.into());
        }
        let (number, name, calls) = (note(name), name.to_owned(), Scope::step());
        let make = Box::new(move || -> Undoing { Box::pin(undo()) });
        self.0.undos.borrow_mut().push(Undo {
            name,
            number,
            calls: calls.clone(),
            make,
        });
        calls.around(step.into_future()).await
    }
}

impl Taken {
    /// The names of the steps that are not undone, newest first.
    fn names(&self) -> Vec<String> {
        let undos = self.undos.try_borrow();
        let names = undos.iter().flat_map(|all| all.iter().rev());
        names.map(|u| u.name.clone()).collect()
    }

    fn pop(&self) -> Option<Undo> {
        self.undos.borrow_mut().pop()
    }

    /// Undoes all steps and returns those that could not be undone.
    async fn undo(&self, why: &str) -> Vec<Undo> {
        let (mut undone, mut lost) = (Vec::new(), Vec::new());
        while let Some(mut undo) = self.pop() {
            undo.calls.settle().await;
            let mut given_up = false;
            while let Err(failure) = self.attempt(&mut undo).await {
                let reason = format!(
                    "the saga failed ({why}) and undoing the step {:?} failed for good: {failure}; undone: {}; still done and undone after this: {}",
                    undo.name,
                    names(&undone),
                    names(&self.names()),
                );
                match doubt(&format!("undo {}", undo.name), &reason).await {
                    Ok(Word::Retry) => continue,
                    Ok(Word::Done) => {}
                    Err(_) => given_up = true,
                }
                break;
            }
            if given_up {
                lost.push(undo);
            } else {
                undo.settled();
                undone.push(undo.name);
            }
        }
        lost
    }

    async fn attempt(&self, undo: &mut Undo) -> Result<(), Error> {
        let attempts = if self.retry.attempts == 0 {
            10
        } else {
            self.retry.attempts
        };
        let or = |time: Duration, default| if time.is_zero() { default } else { time };
        let mut wait = or(self.retry.initial, Duration::from_secs(1));
        let factor = if self.retry.factor >= 1.0 {
            self.retry.factor
        } else {
            2.0
        };
        let longest = or(self.retry.max, Duration::from_secs(60));
        for _ in 1..attempts {
            if (undo.make)().await.is_ok() {
                return Ok(());
            }
            sleep(wait).await?;
            wait = wait.mul_f64(factor).min(longest);
        }
        (undo.make)().await
    }
}

fn names(all: &[String]) -> String {
    match all.is_empty() {
        true => "none".to_owned(),
        false => all.join(", "),
    }
}

/// A person's decision about something the code was in doubt about.
pub(crate) enum Word {
    /// It did not happen.
    Retry,
    /// It happened.
    Done,
}

#[derive(Deserialize)]
struct Note {
    #[serde(default)]
    note: String,
}

/// Makes the run unresolved until a person decides. The error is the one that the person gave.
#[track_caller]
pub(crate) fn doubt(request: &str, reason: &str) -> Asking<Word> {
    let mut head = Head::new();
    head.str("request", request);
    head.str("reason", reason);
    let asked =
        crate::shielded(|| Asked::make("doubt", request, head, Ok(Vec::new()), Location::caller()));
    Asking::new(asked.errand(), |_, answer| {
        let head: Note = json::decode("the answer of a person", &answer.head)?;
        Ok(match &*head.note {
            "retry" => Word::Retry,
            _ => Word::Done,
        })
    })
}

/// The steps of a saga that could not be undone and that a person gave up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndoError {
    /// Their names.
    pub steps: Vec<String>,
    /// Why the saga failed.
    pub cause: String,
}

impl fmt::Display for UndoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; not undone: {}", self.cause, self.steps.join(", "))
    }
}

impl StdError for UndoError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::finish;
    use crate::host::scripted::Run;

    #[test]
    fn failed_saga_is_undone_in_reverse_order() {
        let log = Rc::new(RefCell::new(Vec::new()));
        let seen = log.clone();
        let end = finish(saga(async move |s| {
            for name in ["a", "b", "c"] {
                let (log, undo) = (seen.clone(), seen.clone());
                let step = async move {
                    log.borrow_mut().push(format!("do {name}"));
                    if name == "c" {
                        Err(Error::Outside)
                    } else {
                        Ok(())
                    }
                };
                s.step(name, step, move || {
                    undo.borrow_mut().push(format!("undo {name}"));
                    async { Ok(()) }
                })
                .await?;
            }
            Ok::<_, Error>(())
        }));
        assert_eq!(end, Some(Err(Error::Outside)));
        assert_eq!(
            *log.borrow(),
            ["do a", "do b", "do c", "undo c", "undo b", "undo a"]
        );
    }

    #[test]
    fn successful_saga_is_not_undone() {
        let end = finish(saga(async |s| {
            s.step("a", async { Ok(7) }, || async { panic!("it is undone") })
                .await
        }));
        assert_eq!(end, Some(Ok::<_, Error>(7)));
    }

    async fn undone(url: &'static str) -> Result<(), Error> {
        crate::http::delete(url).send().await.map(drop)
    }

    async fn one_step(step: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
        saga(async move |s| s.step("a", step, || undone("undo-a")).await).await
    }

    #[test]
    fn undo_waits_for_the_outcome_of_its_step() {
        let run = Run::begin();
        let put = || crate::http::put("a").send();
        run.task(one_step(async move {
            let _beside = crate::task(async move { put().await });
            let (a, b) = crate::join!(put(), put());
            a.and(b).map(drop)
        }));
        let withdraw = |k| format!(r#"withdraw {{"call":{k},"why":"cancelled","settle":true}}"#);
        run.cancel();
        let withdrawn = run.log()[4..].join(" ");
        assert!(
            (1..=3).all(|k| withdrawn.contains(&withdraw(k))),
            "{withdrawn}"
        );
        run.answer(1, r#"{"status":200}"#);
        run.withdrawn(2);
        assert!(run.log().is_empty(), "the undo overtook its step");
        run.answer(3, r#"{"status":200}"#);
        assert_eq!(run.log(), [r#"8 http {"method":"DELETE","url":"undo-a"}"#]);
    }

    #[test]
    fn undo_waits_for_open_requests_of_its_step() {
        let run = Run::begin();
        run.task(async {
            let left = Rc::new(RefCell::new(None));
            let keep = left.clone();
            let step = async move {
                *keep.borrow_mut() = Some(crate::http::put("a").send());
                Err(Error::Outside)
            };
            one_step(step).await
        });
        assert_eq!(
            run.log()[1..],
            [r#"2 withdraw {"call":1,"why":"dropped","settle":true}"#]
        );
        run.answer(1, r#"{"status":200}"#);
        assert_eq!(run.log(), [r#"3 http {"method":"DELETE","url":"undo-a"}"#]);
    }

    async fn taken_and_then(rest: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
        saga(async move |s| {
            let step = async { Ok::<_, Error>(()) };
            s.step("a", step, || undone("undo-a")).await?;
            rest.await
        })
        .await
    }

    #[test]
    fn saga_given_up_while_sleeping_is_undone() {
        let run = Run::begin();
        let work = taken_and_then(async { sleep(Duration::from_secs(900)).await });
        run.task(crate::timeout(Duration::from_secs(1), work));
        run.pass(2);
        assert_eq!(run.log(), [r#"1 http {"method":"DELETE","url":"undo-a"}"#]);
        run.answer(1, r#"{"status":200}"#);
        assert_eq!(run.log(), ["end: Ok(Err(GivenUp))"]);
    }

    #[test]
    fn saga_given_up_while_sending_is_undone() {
        let run = Run::begin();
        let work = taken_and_then(async { crate::http::post("b").send().await.map(drop) });
        run.task(crate::timeout(Duration::from_secs(1), work));
        run.pass(2);
        assert_eq!(
            run.log()[1..],
            [r#"2 withdraw {"call":1,"why":"deadline"}"#]
        );
        run.withdrawn(1);
        assert_eq!(run.log(), [r#"3 http {"method":"DELETE","url":"undo-a"}"#]);
        run.answer(3, r#"{"status":200}"#);
        assert_eq!(run.log(), ["end: Ok(Err(GivenUp))"]);
    }

    #[test]
    fn dropped_saga_logs_its_open_steps() {
        let run = Run::begin();
        run.task(async {
            let work = one_step(async { sleep(Duration::from_secs(900)).await });
            let mut work = Box::pin(work);
            std::future::poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx).is_ready())).await
        });
        let line = r#"1 log {"level":"error"}"#;
        assert_eq!(run.log(), [line, "end: false"]);
    }
}
