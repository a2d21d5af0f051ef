//! Retry policies.

use std::time::Duration;

use crate::head::Head;

/// A retry policy that replaces the engine's own. The engine tries a call again if nothing of it was sent, if
/// its outcome is unknown and it may be repeated, or if the response has one of the statuses. Without a
/// policy it also retries, with waits that grow to five minutes and for as long as
/// [`Request::retry_for`](crate::http::Request::retry_for) or the operator says, but never because of a
/// status. Failures that cannot go away are never retried: a malformed request, a host that policy forbids,
/// an unknown secret.
///
/// Each attempt is in the log of the run. If a response asks for a later attempt with `Retry-After`, the
/// longer of that and the policy's wait applies; if it asks for more than a day, or more than is left of
/// `retry_for`, the response is the answer. A call that is not idempotent is never repeated while its outcome
/// is unknown. The default statuses are 429, 502, 503 and 504, but for a call that is not idempotent only 429
/// and 503: behind a gateway that answers 502 or 504 it may have taken effect.
///
/// ```
/// use flawless::http::Retry;
/// let retry = Retry { attempts: 5, statuses: vec![503], ..Retry::default() };
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Retry {
    /// Maximum number of attempts; 1 means no retries, 0 means no policy at all.
    pub attempts: u32,
    /// Wait before the second attempt.
    pub initial: Duration,
    /// Factor by which each further wait grows, 1 to 100; 0 means the engine's default.
    pub factor: f64,
    /// Longest wait; zero means the engine's default.
    pub max: Duration,
    /// Random share of each wait, 0 to 1.
    pub jitter: f64,
    /// Statuses of responses to retry; none means the default above.
    pub statuses: Vec<u16>,
}

impl Retry {
    /// Returns what is wrong with the policy. It checks only what a call cannot express; the engine checks
    /// maximum values.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        if !(0.0..=f64::MAX).contains(&self.factor) {
            return Some("the factor of the retry is negative or not a number");
        }
        if !(0.0..=f64::MAX).contains(&self.jitter) {
            return Some("the jitter of the retry is negative or not a number");
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

/// Converts to milliseconds, rounded up.
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
    fn default_fields_are_omitted() {
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
    fn invalid_numbers_are_rejected() {
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
                jitter: -1.5,
                ..Retry::default()
            },
        ] {
            assert!(retry.problem().is_some(), "{retry:?}");
        }
        assert_eq!(Retry::default().problem(), None);
    }
}
