//! Waiting for the first of several futures.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::reactor::Why;
use crate::scope::Scope;
use crate::sleep::{Sleep, Timer};
use crate::{UntilCancelled, reactor};

/// Waits for the first of several futures and goes on with its branch; the others are given up and
/// dropped. Of those that are ready at once, the first in the list counts, in every replay.
///
/// The requests that the others have under way are withdrawn before the branch runs. One that has not begun
/// never does, and one that is idempotent is abandoned. One that has begun and is not idempotent may take
/// effect at any moment, so its outcome is waited for. Where [`crate::sleep()`] or [`crate::cancelled()`] was
/// first, the future that has the outcome goes on, and if it ends, its branch is chosen instead: a request
/// that was made is not taken for one that was not. Where another future was first, its result is not thrown
/// away: its branch runs, after that outcome, which is in the log of the run.
///
/// A future that is borrowed (`&mut`) is not given up: what it waits for goes on, and it may be awaited
/// again. So a loop may wait for a request and look at other things meanwhile.
///
/// ```
/// # use std::time::Duration;
/// # async fn work() -> Result<(), flawless::Error> {
/// let answer = flawless::select! {
///     response = flawless::http::get("https://slow.example/").send() => Some(response?),
///     slept = flawless::sleep(Duration::from_secs(5)) => { slept?; None },
/// };
/// # Ok(())
/// # }
/// ```
#[macro_export]
macro_rules! select {
    ($($result:pat = $future:expr => $branch:expr),+ $(,)?) => {{
        let chosen = $crate::__private::first($crate::__branches!($($future,)+)).await;
        $crate::__chosen!(chosen, $($result => $branch,)+)
    }};
}

#[doc(hidden)]
#[macro_export]
macro_rules! __branches {
    () => { () };
    ($future:expr, $($rest:expr,)*) => {
        (
            {
                #[allow(unused_imports)]
                use $crate::__private::AnyFuture as _;
                let future = $crate::__private::future($future);
                let moment = $crate::__private::Sort(&future).moment();
                $crate::__private::branch(future, moment)
            },
            $crate::__branches!($($rest,)*),
        )
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __chosen {
    ($chosen:expr,) => { match $chosen {} };
    ($chosen:expr, $result:pat => $branch:expr, $($more:tt)*) => {
        match $chosen {
            $crate::__private::Chosen::This($result) => $branch,
            $crate::__private::Chosen::Other(other) => $crate::__chosen!(other, $($more)*),
        }
    };
}

/// The result of the first of some futures that was ready.
pub enum Chosen<A, B> {
    /// It is that of the first in the list.
    This(A),
    /// It is that of another.
    Other(B),
}

/// Says of which sort a future is. Where the type is known to be that of a moment, the method of that
/// type is called, otherwise that of [`AnyFuture`].
pub struct Sort<'a, F>(pub &'a F);

/// The sort of all other futures.
pub trait AnyFuture {
    /// Tells whether the future is a moment: its result holds nothing that could be lost.
    fn moment(&self) -> bool {
        false
    }
}

impl<F> AnyFuture for Sort<'_, F> {}

macro_rules! moments {
    ($($future:ty)+) => { $(
        impl Sort<'_, $future> {
            /// Tells that it is a moment.
            pub fn moment(&self) -> bool {
                true
            }
        }

        impl Sort<'_, &mut $future> {
            /// Tells that it is a moment.
            pub fn moment(&self) -> bool {
                true
            }
        }

        impl Sort<'_, Pin<&mut $future>> {
            /// Tells that it is a moment.
            pub fn moment(&self) -> bool {
                true
            }
        }
    )+ };
}

moments! { Sleep UntilCancelled Timer }

/// A list of futures: nothing, or a future and a list.
pub trait Branches {
    /// The result of the first that is ready.
    type Chosen;

    /// Polls them in their order. Also tells whether the one that is ready is a moment.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Self::Chosen, bool)>;

    /// Gives up those that are left, and drops them when their calls have answers. It ends early, and
    /// may be called again, with the result of one that was ready all the same.
    fn give_up(&mut self, cx: &mut Context<'_>, moment: bool) -> Poll<Option<Self::Chosen>>;
}

impl Branches for () {
    type Chosen = Infallible;

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<(Infallible, bool)> {
        Poll::Pending
    }

    fn give_up(&mut self, _: &mut Context<'_>, _: bool) -> Poll<Option<Infallible>> {
        Poll::Ready(None)
    }
}

impl<F: Future, B: Branches> Branches for (Branch<F>, B) {
    type Chosen = Chosen<F::Output, B::Chosen>;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Self::Chosen, bool)> {
        let (this, others) = self;
        match this.poll(cx) {
            Poll::Ready(result) => Poll::Ready((Chosen::This(result), this.moment)),
            Poll::Pending => {
                let other = others.poll(cx);
                other.map(|(result, moment)| (Chosen::Other(result), moment))
            }
        }
    }

    fn give_up(&mut self, cx: &mut Context<'_>, moment: bool) -> Poll<Option<Self::Chosen>> {
        let this = self.0.give_up(cx, moment);
        if let Poll::Ready(Some(result)) = this {
            return Poll::Ready(Some(Chosen::This(result)));
        }
        match self.1.give_up(cx, moment) {
            Poll::Ready(Some(result)) => Poll::Ready(Some(Chosen::Other(result))),
            Poll::Ready(None) if this.is_ready() => Poll::Ready(None),
            _ => Poll::Pending,
        }
    }
}

/// A future of a [`select!`], until it is ready or given up.
pub struct Branch<F> {
    future: Option<Pin<Box<F>>>,
    scope: Scope,
    moment: bool,
}

/// Makes a future of what a branch waits for.
pub fn future<F: IntoFuture>(future: F) -> F::IntoFuture {
    future.into_future()
}

/// Makes a branch of a [`select!`].
pub fn branch<F: Future>(future: F, moment: bool) -> Branch<F> {
    Branch {
        future: Some(Box::pin(future)),
        scope: Scope::branch(),
        moment,
    }
}

impl<F: Future> Branch<F> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Some(future) = &mut self.future else {
            return Poll::Pending;
        };
        let polled = self.scope.enter(|| future.as_mut().poll(cx));
        if polled.is_ready() {
            self.future = None;
        }
        polled
    }

    fn give_up(&mut self, cx: &mut Context<'_>, moment: bool) -> Poll<Option<F::Output>> {
        // What needs no drop owns no call: it is a borrowed future, and nothing ends with it.
        if self.future.is_some() && std::mem::needs_drop::<F>() {
            self.scope.give_up(match moment {
                _ if reactor::cancelled().is_some() => Why::Cancelled,
                true => Why::Deadline,
                false => Why::Dropped,
            });
            if self.scope.live() {
                // Where its result is not wanted, it must not take what comes meanwhile: a message, say.
                let goes_on = moment || self.scope.busy();
                if goes_on && let Poll::Ready(result) = self.poll(cx) {
                    return Poll::Ready(Some(result));
                }
                if self.scope.unsettled(cx) {
                    return Poll::Pending;
                }
            }
        }
        self.future = None;
        Poll::Ready(None)
    }
}

/// Waits for the first of some futures, and until the others are given up.
pub async fn first<B: Branches>(mut branches: B) -> B::Chosen {
    let (mut chosen, mut moment) = poll_fn(|cx| branches.poll(cx)).await;
    let at_a_moment = moment;
    while let Some(other) = poll_fn(|cx| branches.give_up(cx, at_a_moment)).await {
        if std::mem::take(&mut moment) {
            chosen = other;
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use crate::executor::finish;
    use crate::host::scripted::Run;
    use crate::{Error, http, sleep};
    use std::future::{pending, ready};
    use std::time::Duration;

    #[test]
    fn the_first_that_is_ready_is_chosen() {
        let got = finish(async {
            crate::select! {
                () = pending() => "never",
                n = ready(2) => if n == 2 { "second" } else { "other" },
                () = ready(()) => "third",
            }
        });
        assert_eq!(got, Some("second"));
    }

    #[test]
    fn a_branch_may_leave_what_is_around_it() {
        let got = finish(async {
            let mut n = 0;
            loop {
                crate::select! {
                    () = ready(()) => { n += 1; if n == 3 { break n } },
                    () = pending() => return -1,
                }
            }
        });
        assert_eq!(got, Some(3));
    }

    const POST: &str = r#"http {"method":"POST","url":"u"}"#;

    fn status(result: Result<http::Response, Error>) -> Result<u16, Error> {
        result.map(|r| r.status)
    }

    #[test]
    fn a_moment_does_not_decide_against_a_request_that_has_begun() {
        for first in [false, true] {
            let run = Run::begin();
            run.task(async move {
                let (sent, slept) = (http::post("u").send(), sleep(Duration::from_secs(1)));
                if first {
                    crate::select! { slept = slept => slept.map(|()| 0), r = sent => status(r) }
                } else {
                    crate::select! { r = sent => status(r), slept = slept => slept.map(|()| 0) }
                }
            });
            run.pass(2);
            let calls = run.log();
            let number = &calls[0][..1];
            let withdraw = format!(r#"withdraw {{"call":{number},"why":"deadline"}}"#);
            assert!(
                calls[0].ends_with(POST) && calls[1].ends_with(&withdraw),
                "{calls:?}"
            );
            run.pass(2);
            assert!(
                run.log().is_empty(),
                "it went on before there was an outcome"
            );
            run.answer(number.parse().unwrap(), r#"{"status":201}"#);
            assert_eq!(run.log(), ["end: Ok(201)"]);
        }
    }

    #[test]
    fn an_answer_that_comes_with_the_moment_is_chosen() {
        let run = Run::begin();
        run.task(async {
            let sent = http::post("u").send();
            let mut slept = false;
            let status = crate::select! {
                _ = sleep(Duration::from_secs(1)) => { slept = true; 0 },
                r = sent => r.unwrap().status,
            };
            (slept, status)
        });
        run.hand_over(1, r#"{"status":201}"#);
        run.pass(2);
        assert_eq!(run.log()[1..], ["end: (false, 201)"]);
    }

    #[test]
    fn what_was_withdrawn_is_given_up() {
        let run = Run::begin();
        run.task(async {
            let late = crate::timeout(Duration::from_secs(1), async {
                let first = http::post("u").send().await;
                unreachable!("{first:?}")
            });
            let late: Result<(), _> = late.await;
            (late, status(http::post("u").send().await))
        });
        run.pass(2);
        run.log();
        run.withdrawn(1);
        assert_eq!(run.log(), ["3 ".to_owned() + POST]);
        run.answer(3, r#"{"status":200}"#);
        assert_eq!(run.log(), ["end: (Err(Elapsed), Ok(200))"]);
    }

    #[test]
    fn a_future_that_was_given_up_begins_nothing_new() {
        let run = Run::begin();
        run.task(crate::timeout(Duration::from_secs(1), async {
            let first = http::post("u").send().await;
            assert!(first.is_ok());
            http::post("v").send().await
        }));
        run.pass(2);
        run.log();
        run.answer(1, r#"{"status":200}"#);
        assert_eq!(run.log(), ["end: Err(Elapsed)"]);
    }

    #[test]
    fn what_a_result_holds_is_not_lost() {
        let run = Run::begin();
        run.task(async {
            crate::select! {
                r = http::post("u").send() => r.unwrap().status.to_string(),
                m = crate::receive_message::<()>("stop") => m.unwrap().id,
            }
        });
        run.answer(2, r#"{"id":"m1","type":"stop"}"#);
        assert_eq!(run.log()[2..], [r#"3 withdraw {"call":1,"why":"dropped"}"#]);
        run.answer(1, r#"{"status":200}"#);
        assert_eq!(run.log(), [r#"end: "m1""#]);
    }

    #[test]
    fn a_borrowed_request_goes_on() {
        let run = Run::begin();
        run.task(async {
            let mut ticks = 0;
            let mut sent = http::post("u").send();
            loop {
                crate::select! {
                    r = &mut sent => break (ticks, status(r)),
                    _ = sleep(Duration::from_secs(1)) => ticks += 1,
                }
            }
        });
        run.pass(2);
        run.pass(2);
        run.answer(1, r#"{"status":200}"#);
        assert_eq!(run.log()[1..], ["end: (2, Ok(200))"]);
    }

    #[test]
    fn a_branch_that_lost_takes_no_message() {
        let run = Run::begin();
        run.task(async {
            let both = async {
                crate::select! {
                    _ = http::post("u").send() => {},
                    _ = crate::receive::<()>("other") => {},
                }
            };
            crate::select! { () = both => "lost", _ = crate::receive::<()>("stop") => "won" }
        });
        run.answer(1, r#"{"id":"m1","type":"stop"}"#);
        run.answer(3, r#"{"id":"m2","type":"other"}"#);
        run.answer(2, r#"{"status":200}"#);
        assert_eq!(run.log().last().unwrap(), r#"end: "won""#);
        run.task(crate::receive_message::<()>("other"));
        let got = run.log();
        assert!(got[0].contains("m2"), "the message is gone: {got:?}");
    }
}
