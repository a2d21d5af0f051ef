//! Waiting for all of several futures.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// Waits for all of several futures and gives a tuple of their results, in the order in which the
/// futures are given. They go on beside each other.
///
/// ```
/// # async fn work() -> Result<(), flawless::Error> {
/// let (stock, price) = flawless::join!(
///     flawless::http::get("https://stock.example/7").send(),
///     flawless::http::get("https://price.example/7").send(),
/// );
/// let both = (stock?, price?);
/// # Ok(())
/// # }
/// ```
#[macro_export]
macro_rules! join {
    ($($future:expr),+ $(,)?) => {{
        let futures = ($($crate::__private::part($future),)+);
        $crate::__private::Parts::all(futures).await
    }};
}

/// A future of a [`join!`], and its result from the moment it is there.
pub struct Part<F: Future> {
    future: Pin<Box<F>>,
    mark: Arc<Mark>,
    result: Option<F::Output>,
}

/// Makes a part of a [`join!`].
pub fn part<F: IntoFuture>(future: F) -> Part<F::IntoFuture> {
    Part {
        future: Box::pin(future.into_future()),
        mark: Arc::new(Mark::default()),
        result: None,
    }
}

/// What wakes a part: it marks it and wakes the whole.
#[derive(Default)]
struct Mark {
    woken: AtomicBool,
    whole: std::sync::Mutex<Option<Waker>>,
}

impl Wake for Mark {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        let whole = self.whole.lock().ok().and_then(|mut w| w.take());
        if let Some(waker) = whole {
            waker.wake();
        }
    }
}

impl<F: Future> Part<F> {
    /// Polls the future if it was woken or never polled, and tells whether its result is there.
    fn ready(&mut self, cx: &Context<'_>, first: bool) -> bool {
        if self.result.is_some() {
            return true;
        }
        if let Ok(mut whole) = self.mark.whole.lock() {
            *whole = Some(cx.waker().clone());
        }
        if !first && !self.mark.woken.swap(false, Ordering::AcqRel) {
            return false;
        }
        let waker = Waker::from(self.mark.clone());
        if let Poll::Ready(result) = self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            self.result = Some(result);
        }
        self.result.is_some()
    }
}

/// A tuple of parts.
pub trait Parts {
    /// The tuple of their results.
    type Results;

    /// Waits for all of them.
    fn all(self) -> impl Future<Output = Self::Results>;
}

macro_rules! tuple {
    ($($name:ident)+) => {
        impl<$($name: Future),+> Parts for ($(Part<$name>,)+) {
            type Results = ($($name::Output,)+);

            #[allow(non_snake_case)]
            async fn all(self) -> Self::Results {
                let ($(mut $name,)+) = self;
                let mut first = true;
                std::future::poll_fn(move |cx| {
                    let mut ready = true;
                    $(ready &= $name.ready(cx, first);)+
                    first = false;
                    match ($($name.result.take_if(|_| ready),)+) {
                        ($(Some($name),)+) => Poll::Ready(($($name,)+)),
                        _ => Poll::Pending,
                    }
                })
                .await
            }
        }
    };
}

tuple! { A }
tuple! { A B }
tuple! { A B C }
tuple! { A B C D }
tuple! { A B C D E }
tuple! { A B C D E F }
tuple! { A B C D E F G }
tuple! { A B C D E F G H }
tuple! { A B C D E F G H I }
tuple! { A B C D E F G H I J }
tuple! { A B C D E F G H I J K }
tuple! { A B C D E F G H I J K L }

/// Waits for all futures of a list and gives their results in its order. They go on beside each other.
///
/// ```
/// # async fn work(urls: Vec<String>) {
/// let pages = flawless::join_all(urls.into_iter().map(|url| flawless::http::get(url).send())).await;
/// # }
/// ```
pub async fn join_all<F: IntoFuture>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut parts: Vec<_> = futures.into_iter().map(part).collect();
    let mut first = true;
    std::future::poll_fn(move |cx| {
        let mut ready = true;
        for part in &mut parts {
            ready &= part.ready(cx, first);
        }
        first = false;
        match ready {
            true => Poll::Ready(parts.iter_mut().filter_map(|p| p.result.take()).collect()),
            false => Poll::Pending,
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use crate::executor::finish;
    use crate::{join, join_all, task};

    #[test]
    fn results_have_the_order_of_the_futures() {
        let got = finish(async {
            let (a, b, c) = join!(task(async { 1 }), async { "two" }, task(async { 3.0 }));
            (a, b, c)
        });
        assert_eq!(got, Some((1, "two", 3.0)));
        let got = finish(async { join_all((0..50).map(|k| task(async move { k }))).await });
        assert_eq!(got, Some((0..50).collect::<Vec<_>>()));
        let none: Vec<std::future::Ready<()>> = Vec::new();
        assert_eq!(finish(join_all(none)), Some(vec![]));
    }
}
