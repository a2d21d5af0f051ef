//! Waiting for the first of several futures.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::reactor::Why;
use crate::scope::Scope;
use crate::sleep::{Sleep, Timer};
use crate::{UntilCancelled, reactor};

/// Waits for the first of several futures and runs its branch; the others are given up and dropped. If
/// several are ready at once, the first in the list wins, in every replay.
///
/// The open requests of the others are withdrawn before the branch runs. A request that has not begun is
/// never sent, and an idempotent one is abandoned. One that is in flight and not idempotent may take effect,
/// so its outcome is awaited. If [`crate::sleep()`] or [`crate::cancelled()`] came first, the future with
/// that outcome then continues, and if it ends, its branch is chosen instead: code never treats a request
/// that was made as one that was not. If another future came first, its branch runs after that outcome, which
/// is in the log of the run; its result is not lost.
///
/// A borrowed future (`&mut`) is not given up: what it waits for continues, and you can await it again. So a
/// loop can wait for a request and handle other things in the meantime.
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

/// The result of the first future that was ready.
pub enum Chosen<A, B> {
    /// The first in the list.
    This(A),
    /// One of the others.
    Other(B),
}

/// Tells whether a future is a moment. For types that are known to be moments, their own method is called,
/// otherwise that of [`AnyFuture`].
pub struct Sort<'a, F>(pub &'a F);

/// All futures that are not known to be moments.
pub trait AnyFuture {
    /// Whether the future is a moment: its result contains nothing that could be lost.
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

/// A list of futures: empty, or a future and a list.
pub trait Branches {
    /// The result of the first one that is ready.
    type Chosen;

    /// Polls them in order. Also returns whether the one that is ready is a moment.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Self::Chosen, bool)>;

    /// Gives up the remaining ones, and drops them once their calls have answers. It may return early and be
    /// called again, with the result of one that became ready after all.
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

/// A future in a [`select!`], until it is ready or given up.
pub struct Branch<F> {
    future: Option<Pin<Box<F>>>,
    scope: Scope,
    moment: bool,
}

/// Makes a future of the expression in a branch.
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

/// Waits for the first of several futures, and until the others are given up.
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
    fn first_ready_branch_is_chosen() {
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
    fn branch_can_return_from_the_function() {
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
    fn timer_does_not_beat_a_request_in_flight() {
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
    fn answer_arriving_with_the_timer_is_chosen() {
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
    fn withdrawn_future_is_given_up() {
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
    fn future_given_up_makes_no_new_calls() {
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
    fn result_with_content_is_not_lost() {
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
    fn borrowed_request_continues() {
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
    fn losing_branch_takes_no_message() {
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
