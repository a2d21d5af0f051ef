//! Waiting for several futures.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Waits for all of several futures and returns a tuple of their results, in the order of the futures. They
/// run concurrently.
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
    ($($future:expr),+ $(,)?) => {
        $crate::__private::Parts::all(($($future,)+)).await
    };
}

/// The shared state of the parts of a join.
#[derive(Default)]
struct Whole {
    woken: Mutex<Vec<usize>>, // places of the parts that were
    waker: Mutex<Option<Waker>>,
}

impl Whole {
    /// Returns the indexes of the parts that were woken since the last call.
    fn woken(&self, cx: &Context<'_>) -> Vec<usize> {
        *lock(&self.waker) = Some(cx.waker().clone());
        std::mem::take(&mut *lock(&self.woken))
    }
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The waker of a part: it records its index and wakes the whole.
struct Mark {
    index: usize,
    queued: AtomicBool,
    whole: Arc<Whole>,
}

impl Wake for Mark {
    fn wake(self: Arc<Self>) {
        if self.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        lock(&self.whole.woken).push(self.index);
        let waker = lock(&self.whole.waker).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A future in a join, and its result once it is there.
struct Part<F: Future> {
    future: Option<Pin<Box<F>>>,
    mark: Arc<Mark>,
    waker: Waker,
    result: Option<F::Output>,
}

impl<F: Future> Part<F> {
    /// Makes a part that counts as woken.
    fn new(future: impl IntoFuture<IntoFuture = F>, index: usize, whole: &Arc<Whole>) -> Self {
        let mark = Arc::new(Mark {
            index,
            queued: AtomicBool::new(true),
            whole: whole.clone(),
        });
        Part {
            future: Some(Box::pin(future.into_future())),
            waker: Waker::from(mark.clone()),
            mark,
            result: None,
        }
    }

    /// Polls the future if it was woken, and returns whether its result is there.
    fn ready(&mut self) -> bool {
        if let Some(future) = &mut self.future
            && self.mark.queued.swap(false, Ordering::AcqRel)
            && let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&self.waker))
        {
            self.result = Some(result);
            self.future = None;
        }
        self.future.is_none()
    }
}

/// A tuple of futures.
pub trait Parts {
    /// The tuple of their results.
    type Results;

    /// Waits for all of them.
    fn all(self) -> impl Future<Output = Self::Results>;
}

macro_rules! tuple {
    ($($name:ident)+) => {
        impl<$($name: IntoFuture),+> Parts for ($($name,)+) {
            type Results = ($($name::Output,)+);

            #[allow(non_snake_case)]
            async fn all(self) -> Self::Results {
                let whole = Arc::new(Whole::default());
                let ($($name,)+) = self;
                $(let mut $name = Part::new($name, 0, &whole);)+
                poll_fn(move |cx| {
                    whole.woken(cx);
                    let mut ready = true;
                    $(ready &= $name.ready();)+
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

/// Waits for all futures of a list and returns their results in order. They run concurrently.
///
/// ```
/// # async fn work(urls: Vec<String>) {
/// let pages = flawless::join_all(urls.into_iter().map(|url| flawless::http::get(url).send())).await;
/// # }
/// ```
pub async fn join_all<F: IntoFuture>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let whole = Arc::new(Whole::default());
    let futures = futures.into_iter().enumerate();
    let mut parts: Vec<_> = futures.map(|(k, f)| Part::new(f, k, &whole)).collect();
    let mut open = parts.len();
    lock(&whole.woken).extend(0..open);
    poll_fn(move |cx| {
        for index in whole.woken(cx) {
            let part = &mut parts[index];
            if part.result.is_none() && part.ready() {
                open -= 1;
            }
        }
        match open {
            0 => Poll::Ready(parts.iter_mut().filter_map(|p| p.result.take()).collect()),
            _ => Poll::Pending,
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use crate::executor::finish;
    use crate::{join_all, task};

    #[test]
    fn part_woken_after_its_end_counts_once() {
        let got = finish(async {
            let twice = |k: u32| {
                std::future::poll_fn(move |cx| {
                    cx.waker().wake_by_ref();
                    std::task::Poll::Ready(k)
                })
            };
            join_all([twice(1), twice(2), twice(3)]).await
        });
        assert_eq!(got, Some(vec![1, 2, 3]));
    }

    #[test]
    fn results_keep_the_order_of_the_futures() {
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
