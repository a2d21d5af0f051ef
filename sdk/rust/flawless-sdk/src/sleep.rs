//! Sleeping.

use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use crate::run::{Mode, mode};
use crate::scope::{self, GivenUp};
use crate::{Error, call, host, reactor, shield};

/// Waits for some time: use `.await` in an async workflow, and `.wait()` in a plain function. It is durable:
/// the engine wakes the run after days or restarts. The time counts from the call of this function.
///
/// The error is [`Error::Cancelled`] if the run is cancelled first, or [`Error::Outside`].
///
/// ```
/// # use std::time::Duration;
/// # async fn work() -> Result<(), flawless::Error> {
/// flawless::sleep(Duration::from_secs(24 * 60 * 60)).await?;
/// # Ok(())
/// # }
/// # fn plain() -> Result<(), flawless::Error> {
/// flawless::sleep(Duration::from_secs(24 * 60 * 60)).wait()?;
/// # Ok(())
/// # }
/// ```
#[track_caller]
pub fn sleep(time: Duration) -> Sleep {
    Sleep::new(after(time), Location::caller())
}

/// Waits until a point in time, like [`sleep`]. It does not wait if the time has passed.
#[track_caller]
pub fn sleep_until(moment: SystemTime) -> Sleep {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH);
    let at = since.map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX));
    Sleep::new(at, Location::caller())
}

/// Returns the time some duration from now in nanoseconds since 1970.
pub(crate) fn after(time: Duration) -> i64 {
    host::now().saturating_add(i64::try_from(time.as_nanos()).unwrap_or(i64::MAX))
}

/// The future returned by [`sleep`].
#[derive(Debug)]
#[must_use = "nothing waits unless you `.await` it, or `.wait()` in a plain function"]
pub struct Sleep {
    timer: Timer,
    site: &'static Location<'static>,
    shielded: bool,
}

impl Sleep {
    fn new(at: i64, site: &'static Location<'static>) -> Self {
        Sleep {
            timer: Timer::new(at),
            site,
            shielded: shield::raised(),
        }
    }

    /// Blocks until the time has come, in a plain function.
    ///
    /// # Panics
    /// In an async workflow; use `.await` there.
    #[track_caller]
    pub fn wait(self) -> Result<(), Error> {
        call::alarm(self.timer.key.0, self.site)?.wait().map(drop)
    }
}

impl Future for Sleep {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if mode() == Mode::Outside {
            return Poll::Ready(Err(Error::Outside));
        }
        if !self.shielded
            && let Some(why) = reactor::cancelled()
        {
            return Poll::Ready(Err(why.into()));
        }
        if !self.shielded && scope::given_up() == GivenUp::Told {
            return Poll::Ready(Err(Error::GivenUp));
        }
        Pin::new(&mut self.timer).poll(cx).map(Ok)
    }
}

/// A wait that only its time ends.
#[derive(Debug)]
pub(crate) struct Timer {
    key: reactor::TimerKey,
    set: bool,
}

impl Timer {
    fn new(at: i64) -> Self {
        Timer {
            key: reactor::new_timer(at),
            set: false,
        }
    }

    pub(crate) fn after(time: Duration) -> Self {
        Timer::new(after(time))
    }

    /// Its time, in nanoseconds since 1970.
    pub(crate) fn moment(&self) -> i64 {
        self.key.0
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if host::now() >= self.key.0 {
            return Poll::Ready(());
        }
        reactor::wait_until(self.key, cx.waker());
        self.set = true;
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if self.set {
            reactor::drop_timer(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::finish;

    #[test]
    fn sleep_outside_a_workflow_fails() {
        assert_eq!(
            finish(sleep(Duration::from_secs(9))),
            Some(Err(Error::Outside))
        );
        assert_eq!(sleep(Duration::from_secs(9)).wait(), Err(Error::Outside));
    }

    #[test]
    fn dropped_timer_is_removed() {
        let mut timer = Timer::after(Duration::from_secs(900));
        let waker = std::task::Waker::noop();
        assert!(
            Pin::new(&mut timer)
                .poll(&mut Context::from_waker(waker))
                .is_pending()
        );
        assert!(reactor::next_timer().is_some());
        drop(timer);
        assert_eq!(reactor::next_timer(), None);
    }

    #[test]
    fn distant_times_do_not_overflow() {
        assert_eq!(after(Duration::MAX), i64::MAX);
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(sleep_until(before).timer.key.0, 0);
    }
}
