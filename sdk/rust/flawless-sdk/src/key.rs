//! What a module declares about the hosts that it calls.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::head::Head;
use crate::retry::milliseconds;

/// Declares, for all runs of the module, that a host honours the `Idempotency-Key` of a request for some
/// time: within it, the engine sends a request whose outcome is unknown again under the same key, see
/// [`crate::http::Request::idempotent_within`]. Use it outside functions.
///
/// The host has the form that `flawless host set` takes: `api.example.com`, or `*.example.com` for every name
/// below it, either with an optional port. The most specific host counts. Options of a call override it, and
/// so does the operator's setting for the host, even one that says the host does not honour keys. A module
/// with an invalid declaration is refused when it is added.
///
/// ```
/// use std::time::Duration;
///
/// flawless::honours_keys!("api.stripe.com", Duration::from_secs(24 * 60 * 60));
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! honours_keys {
    ($host:expr, $within:expr $(,)?) => {
        const _: () = {
            extern "C" fn register() {
                $crate::__private::honour($host, $within);
            }
            #[used]
            #[cfg_attr(
                any(
                    target_family = "wasm",
                    target_os = "linux",
                    target_os = "android",
                    target_os = "freebsd",
                    target_os = "netbsd",
                    target_os = "openbsd",
                    target_os = "dragonfly",
                    target_os = "illumos"
                ),
                unsafe(link_section = ".init_array")
            )]
            #[cfg_attr(
                target_vendor = "apple",
                unsafe(link_section = "__DATA,__mod_init_func")
            )]
            #[cfg_attr(windows, unsafe(link_section = ".CRT$XCU"))]
            static REGISTER: extern "C" fn() = register;
        };
    };
}

static KEYS: Mutex<Vec<(&'static str, Duration)>> = Mutex::new(Vec::new());

/// Adds a host to those of the module.
pub fn honour(host: &'static str, within: Duration) {
    let mut all = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
    all.push((host, within));
}

/// Returns the declarations, ordered by host.
pub(crate) fn all() -> Vec<(&'static str, Duration)> {
    let mut all = KEYS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    all.sort_unstable();
    all
}

/// Returns the member "keys" of the manifest.
pub(crate) fn manifest(keys: &[(&str, Duration)]) -> Vec<u8> {
    let each = keys.iter().map(|(host, within)| {
        let mut o = Head::new();
        o.str("host", host);
        o.int("within_ms", milliseconds(*within));
        o.end()
    });
    let each: Vec<Vec<u8>> = each.collect();
    [&b"["[..], &each.join(&b","[..]), b"]"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::honours_keys!("b.example", Duration::from_secs(60));
    crate::honours_keys!("*.a.example:8443", Duration::from_micros(1));

    #[test]
    fn manifest_lists_hosts_that_honour_keys() {
        assert_eq!(
            String::from_utf8(manifest(&all())).unwrap(),
            r#"[{"host":"*.a.example:8443","within_ms":1},{"host":"b.example","within_ms":60000}]"#,
        );
    }
}
