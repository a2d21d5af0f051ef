//! Values that must not be too old.

use std::cell::RefCell;
use std::pin::Pin;
use std::time::Duration;

use crate::gate::Gate;
use crate::{Error, host};

type Fetching<T> = Pin<Box<dyn Future<Output = Result<T, Error>>>>;

/// A cached value, such as an access token or a price, that must not be older than some time when it is used.
/// It is fetched when it is first needed, and again when it is too old, for instance because the run was
/// interrupted for long.
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
    /// Returns a cache for a value that `fetch` fetches. The age of a value counts from the call of `fetch`.
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

    /// Returns the value, after fetching it if it is missing or too old, or the error of `fetch`. Only one
    /// task fetches at a time.
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

    /// Makes the next `get` fetch the value whatever its age, for instance after a 401.
    pub fn forget(&self) {
        self.value.replace(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::finish;

    #[test]
    fn value_is_fetched_when_needed() {
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
