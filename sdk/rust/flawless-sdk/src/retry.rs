//! Trying a call again.

use std::time::Duration;

use crate::head::Head;

/// How a call is tried again, in place of the engine's own retries: when nothing of it was sent, when its
/// outcome is unknown and it may be repeated, or when the response has one of the statuses. Without it the
/// engine retries, too, with growing waits of up to five minutes and for as long as
/// [`Request::retry_for`](crate::http::Request::retry_for) or the operator says, but no status. What cannot
/// succeed by itself is never tried again: a malformed request, a host refused by policy, an unknown secret.
///
/// Each try is in the run's log. A response that asks for a later try with `Retry-After` gets it where that is
/// longer than the policy's own wait; if it asks for more than a day, or more than is left of `retry_for`, it
/// is the answer instead. A call that is not idempotent is never repeated while its outcome is unknown.
/// Without statuses they are 429, 502, 503 and 504, and for a call that is not idempotent 429 and 503: behind a
/// gateway that answers 502 or 504 it may have taken effect.
///
/// ```
/// use flawless::http::Retry;
/// let retry = Retry { attempts: 5, statuses: vec![503], ..Retry::default() };
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Retry {
    /// Tries in all; 1 is one try, 0 leaves retries to the engine as if there were no policy.
    pub attempts: u32,
    /// Wait before the second try.
    pub initial: Duration,
    /// By which each further wait is longer, up to 100; 0 leaves it to the engine.
    pub factor: f64,
    /// Longest wait; zero leaves it to the engine.
    pub max: Duration,
    /// Share of each wait that is random, from 0 to 1.
    pub jitter: f64,
    /// Statuses of responses after which the call is tried again; none leaves it to the engine, as above.
    pub statuses: Vec<u16>,
}

impl Retry {
    /// Returns what is wrong.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        if !(0.0..=100.0).contains(&self.factor) {
            return Some("the factor of the retry is not between 0 and 100");
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return Some("the jitter of the retry is not between 0 and 1");
        }
        None
    }

    pub(crate) fn text(&self) -> Vec<u8> {
        let mut o = Head::new();
        o.int("attempts", self.attempts);
        if !self.initial.is_zero() {
            o.int("initial_ms", milliseconds(self.initial));
        }
        if self.factor > 0.0 {
            o.float("factor", self.factor);
        }
        if !self.max.is_zero() {
            o.int("max_ms", milliseconds(self.max));
        }
        if self.jitter > 0.0 {
            o.float("jitter", self.jitter);
        }
        if !self.statuses.is_empty() {
            o.raw("statuses", format!("{:?}", self.statuses).as_bytes());
        }
        o.end()
    }
}

/// Rounds up.
pub(crate) fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_up() {
        assert_eq!(milliseconds(Duration::from_nanos(1)), 1);
        assert_eq!(milliseconds(Duration::from_millis(5)), 5);
        assert_eq!(milliseconds(Duration::MAX), i64::MAX);
    }

    #[test]
    fn what_is_left_to_the_engine_is_left_out() {
        let plain = Retry {
            attempts: 3,
            ..Retry::default()
        };
        assert_eq!(plain.text(), br#"{"attempts":3}"#);
        let full = Retry {
            attempts: 3,
            initial: Duration::from_millis(10),
            factor: 2.0,
            max: Duration::from_secs(1),
            jitter: 0.5,
            statuses: vec![429, 503],
        };
        let want = r#"{"attempts":3,"initial_ms":10,"factor":2.0,"max_ms":1000,"jitter":0.5,"statuses":[429, 503]}"#;
        assert_eq!(String::from_utf8(full.text()).unwrap(), want);
    }

    #[test]
    fn numbers_outside_of_their_range_are_told() {
        for retry in [
            Retry {
                factor: -1.0,
                ..Retry::default()
            },
            Retry {
                factor: f64::NAN,
                ..Retry::default()
            },
            Retry {
                jitter: 1.5,
                ..Retry::default()
            },
        ] {
            assert!(retry.problem().is_some(), "{retry:?}");
        }
        assert_eq!(Retry::default().problem(), None);
    }
}
