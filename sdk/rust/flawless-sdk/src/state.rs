//! Values that runs share.

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

/// Returns the value that runs share under a name. It is the default of its type until somebody
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

/// A value that runs share, see [`state`].
pub struct State<T> {
    name: String,
    gate: Gate,
    value: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned + Default + 'static> State<T> {
    /// Returns the value as it is at the moment. It does not wait for who holds it.
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

    /// Waits until no other run, and no other task of this one, holds the value, and holds it. It may
    /// be held for days, and calls be made meanwhile. Runs are served in the order they asked. The hold
    /// ends with [`Held::keep`], when what this returns is dropped, or when the run ends.
    ///
    /// The error is [`Error::Call`] of kind [`crate::Kind::Deadlock`] where this run would wait for one
    /// that waits for this one: give up what is held and try again.
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
    /// Keeps the value as it is now, and ends the hold. A cancellation of the run does not reach it.
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
