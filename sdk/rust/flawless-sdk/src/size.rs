//! Size limits. The engine stops a guest that exceeds them, so the SDK returns an error or cuts the text before that.

use crate::Error;
use crate::error::{About, CallError, Kind};

/// Maximum length of the body of a call, and of an output, in bytes.
pub(crate) const MAX_BODY: usize = 64 << 20;
/// Maximum length of a log line, and of the message of a failure, in bytes.
pub(crate) const MAX_TEXT: usize = 1 << 20;

/// Returns an error if the engine would not accept the body; the call must not be made then.
pub(crate) fn check(kind: &str, body: &[u8]) -> Result<(), Error> {
    if body.len() <= MAX_BODY {
        return Ok(());
    }
    Err(Error::from(CallError {
        request: About {
            call: 0,
            method: kind.to_owned(),
            url: String::new(),
        },
        kind: Kind::TooLarge,
        reason: String::new(),
        status: None,
        message: format!(
            "the body has {} bytes, the limit is {MAX_BODY}; nothing was sent",
            body.len()
        ),
    }))
}

/// Shortens a text that is longer than `max` bytes, and marks it.
pub(crate) fn cut(text: &str, max: usize) -> String {
    const MARK: &str = "… (cut)";
    if text.len() <= max {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(max - MARK.len());
    format!("{}{MARK}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oversized_body_is_rejected() {
        let body = vec![0; MAX_BODY + 1];
        assert_eq!(check("spawn", &body[1..]), Ok(()));
        let error = check("spawn", &body).unwrap_err();
        assert!(matches!(&error, Error::Call(e) if e.kind == Kind::TooLarge));
        assert_eq!(
            error.to_string(),
            "spawn: the body has 67108865 bytes, the limit is 67108864; nothing was sent (too_large)"
        );
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(cut("short", 5), "short");
        let text = cut(&"ä".repeat(20), 20);
        assert!(text.len() <= 20 && text.ends_with("ä… (cut)"), "{text}");
    }
}
