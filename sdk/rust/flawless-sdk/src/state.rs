//! Values shared by runs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::Location;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::asking::{Asked, Asking};
use crate::call::Call;
use crate::gate::{Entered, Gate};
use crate::head::Head;
use crate::{Error, host, json};

thread_local! {
    static GATES: RefCell<BTreeMap<String, Gate>> = RefCell::default();
}

/// Returns a handle on the value that runs share under a name. The value is `T::default()` until a run
/// changes it.
///
/// ```
/// # async fn work() -> Result<(), flawless::Error> {
/// let counter = flawless::state::<u64>("orders");
/// let mut count = counter.lock().await?;
/// *count += 1;
/// count.keep().await?;
/// # Ok(())
/// # }
/// ```
pub fn state<T>(name: &str) -> State<T> {
    let gate = GATES.with_borrow_mut(|all| all.entry(name.to_owned()).or_default().clone());
    State {
        name: name.to_owned(),
        gate,
        value: PhantomData,
    }
}

/// A value shared by runs, see [`state`].
pub struct State<T> {
    name: String,
    gate: Gate,
    value: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned + Default + 'static> State<T> {
    /// Returns the current value. It does not wait for a run that holds the value.
    #[track_caller]
    pub fn get(&self) -> Asking<T> {
        let head = head(&self.name, "get", 0);
        let asked = Asked::make(
            "state",
            &self.name,
            head,
            Ok(Vec::new()),
            Location::caller(),
        );
        Asking::new(asked, |about, answer| decode(&about.url, &answer.body))
    }

    /// Waits until no other run and no other task of this run holds the value, and then holds it. You can
    /// hold it for days and make calls in the meantime. Runs get their turn in the order in which they asked.
    /// The hold ends with [`Held::keep`], when the returned value is dropped, or when the run ends; it
    /// survives crashes of the server.
    ///
    /// The error is [`Error::Call`] of [`crate::Kind::Deadlock`] if this run would wait for one that waits
    /// for this one: release what this run holds and try again.
    #[track_caller]
    pub fn lock(&self) -> impl Future<Output = Result<Held<T>, Error>> + use<T> {
        let (name, gate, site) = (self.name.clone(), self.gate.clone(), Location::caller());
        async move {
            let entered = gate.enter().await;
            let call = Call::make("state", head(&name, "lock", 0), b"", site)?;
            let mut held = Held {
                name,
                lock: call.number(),
                value: T::default(),
                site,
                over: false,
                _entered: entered,
            };
            let mut asked = Asked::of("state", &held.name, Ok(call));
            let answer = std::future::poll_fn(|cx| asked.poll(cx)).await;
            if let Err(Error::Call(_)) = answer {
                held.over = true; // there is no hold, and no wish for it
            }
            held.value = decode(&held.name, &answer?.body)?;
            Ok(held)
        }
    }
}

fn head(name: &str, op: &str, lock: i32) -> Head {
    let mut head = Head::new();
    head.str("name", name);
    head.str("op", op);
    if lock != 0 {
        head.int("lock", lock);
    }
    head
}

fn decode<T: DeserializeOwned + Default>(name: &str, body: &[u8]) -> Result<T, Error> {
    match body {
        b"" => Ok(T::default()),
        body => json::decode(&format!("state {name}: its value"), body),
    }
}

/// A value that this run holds. Dropping it leaves the value as it was.
#[must_use = "the value is only kept by `keep`"]
pub struct Held<T> {
    name: String,
    lock: i32, // the call that asked for the hold
    value: T,
    site: &'static Location<'static>,
    over: bool,
    _entered: Entered,
}

impl<T: Serialize> Held<T> {
    /// Stores the changed value and ends the hold. It is not affected by a cancellation of the run.
    pub fn keep(self) -> impl Future<Output = Result<(), Error>> {
        let kept = json::encode(&format!("the value of state {}", self.name), &self.value);
        async move {
            let mut held = self;
            let body = kept?;
            let asked = crate::shielded(|| {
                let head = head(&held.name, "put", held.lock);
                Asked::make("state", &held.name, head, Ok(body), held.site)
            });
            held.over = asked.made();
            Asking::new(asked.errand(), |_, _| Ok(())).await
        }
    }
}

impl<T> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Held<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let head = head(&self.name, "unlock", self.lock);
        let unlocked = crate::shielded(|| Call::make("state", head, b"", self.site));
        drop(unlocked);
        host::forget(self.lock);
    }
}
