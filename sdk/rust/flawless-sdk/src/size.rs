//! How much the engine takes at a time. It ends a guest that hands it more, so nothing goes that far.

use crate::Error;
use crate::error::{About, CallError, Kind};

/// The most bytes of the body of a call, and of an output.
pub(crate) const MAX_BODY: usize = 64 << 20;
/// The most bytes of a line of the log, and of the message of a failure.
pub(crate) const MAX_TEXT: usize = 1 << 20;

/// The error of a call whose body the engine does not take. It is not made then.
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
            "the body has {} bytes, at most {MAX_BODY} are allowed; nothing was sent",
            body.len()
        ),
    }))
}

/// Returns the beginning of a text where that is longer than `most` bytes, and says so.
pub(crate) fn cut(text: &str, most: usize) -> String {
    const MARK: &str = "… (cut)";
    if text.len() <= most {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(most - MARK.len());
    format!("{}{MARK}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_above_the_limit_is_an_error_of_its_call() {
        let body = vec![0; MAX_BODY + 1];
        assert_eq!(check("spawn", &body[1..]), Ok(()));
        let error = check("spawn", &body).unwrap_err();
        assert!(matches!(&error, Error::Call(e) if e.kind == Kind::TooLarge));
        assert_eq!(
            error.to_string(),
            "spawn: the body has 67108865 bytes, at most 67108864 are allowed; nothing was sent (too_large)"
        );
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(cut("short", 5), "short");
        let text = cut(&"ä".repeat(20), 20);
        assert!(text.len() <= 20 && text.ends_with("ä… (cut)"), "{text}");
    }
}
