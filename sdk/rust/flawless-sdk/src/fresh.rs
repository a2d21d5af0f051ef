//! Values that must not become too old.

use std::cell::RefCell;
use std::pin::Pin;
use std::time::Duration;

use crate::gate::Gate;
use crate::{Error, host};

type Fetching<T> = Pin<Box<dyn Future<Output = Result<T, Error>>>>;

/// A value that is never older than some time when it is used, such as an access token or a price. It
/// is fetched when it is first needed, and again whenever it is too old: also when the run was
/// interrupted for long, since time goes on meanwhile.
///
/// ```
/// # use std::time::Duration;
/// # async fn work() -> Result<(), flawless::Error> {
/// let token = flawless::Fresh::new(Duration::from_secs(300), || async {
///     Ok(flawless::http::get("https://login.example/token").send().await?.success()?.text())
/// });
/// flawless::http::get("https://api.example/").header("Authorization", token.get().await?).send().await?;
/// # Ok(())
/// # }
/// ```
pub struct Fresh<T> {
    ttl: i64,
    gate: Gate,
    fetch: RefCell<Box<dyn FnMut() -> Fetching<T>>>,
    value: RefCell<Option<(i64, T)>>,
}

impl<T: Clone> Fresh<T> {
    /// Returns a value that `fetch` fetches. It is as old as the time since `fetch` was called.
    pub fn new<F>(ttl: Duration, mut fetch: impl FnMut() -> F + 'static) -> Self
    where
        F: Future<Output = Result<T, Error>> + 'static,
    {
        Fresh {
            ttl: i64::try_from(ttl.as_nanos()).unwrap_or(i64::MAX),
            gate: Gate::default(),
            fetch: RefCell::new(Box::new(move || Box::pin(fetch()))),
            value: RefCell::default(),
        }
    }

    /// Returns the value, fetched again where it is too old, or the error of fetching it. Of several
    /// tasks that ask, one fetches for all.
    pub async fn get(&self) -> Result<T, Error> {
        let _in = self.gate.enter().await;
        if let Some((at, value)) = &*self.value.borrow()
            && host::now() - at <= self.ttl
        {
            return Ok(value.clone());
        }
        let began = host::now();
        let fetching = (self.fetch.borrow_mut())();
        let value = fetching.await?;
        self.value.replace(Some((began, value.clone())));
        Ok(value)
    }

    /// Has the next `get` fetch the value, whatever its age: after a 401, say.
    pub fn forget(&self) {
        self.value.replace(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::finish;

    #[test]
    fn it_is_fetched_when_it_is_needed() {
        let mut n = 0;
        let fresh = Fresh::new(Duration::from_secs(3600), move || {
            n += 1;
            std::future::ready(Ok(n))
        });
        let got = finish(async move {
            let (a, b) = crate::join!(fresh.get(), fresh.get());
            fresh.forget();
            (a, b, fresh.get().await)
        });
        assert_eq!(got, Some((Ok(1), Ok(1), Ok(2))));
    }
}
