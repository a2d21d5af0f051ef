//! Responses that are read as they arrive.

use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use serde::Deserialize;

use crate::call::Call;
use crate::error::{About, AnswerError};
use crate::head::Head;
use crate::header::Header;
use crate::http::{Request, Response, Sending};
use crate::{Error, json};

impl Request {
    /// Sends the request and returns the response as soon as its head has arrived. [`Stream::next`] then
    /// returns the body as it arrives, for APIs that answer piece by piece, such as server-sent events of a
    /// language model.
    ///
    /// Each part is in the log of the run before the code sees it, and a replay reads the same parts. The
    /// request counts as answered once the head has arrived: if the body breaks off later, reading returns an
    /// error of [`crate::Kind::Broken`] at that point, and nothing is sent again. A restart of the server
    /// breaks a stream. [`timeout`](Request::timeout) limits the time to the head, and the time to each
    /// further part; [`limit`](Request::limit) applies to all parts together. A response whose status is not
    /// 2xx is delivered as one part.
    ///
    /// ```
    /// # async fn work() -> Result<(), flawless::Error> {
    /// let mut stream = flawless::http::post("https://model.example/").stream().await?;
    /// while let Some(part) = stream.next().await? {
    ///     flawless::set_data(&String::from_utf8_lossy(&part))?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// In a plain function, use `.stream().wait()?` and `.next().wait()?`, with [`crate::Wait`].
    #[track_caller]
    pub fn stream(mut self) -> Streaming {
        self.streams = true;
        Streaming {
            sending: self.send(),
            site: Location::caller(),
        }
    }
}

/// A response that is read as it arrives. Dropping it before its end closes the connection.
#[derive(Debug)]
#[must_use = "the response comes by `.await`, or by `.wait()` in a plain function"]
pub struct Streaming {
    sending: Sending,
    site: &'static Location<'static>,
}

impl Future for Streaming {
    type Output = Result<Stream, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let site = self.site;
        Pin::new(&mut self.sending)
            .poll(cx)
            .map(|response| Ok(Stream::of(response?, site)))
    }
}

/// A response that is read as it comes. Its connection is closed when it is dropped before its end.
#[derive(Debug)]
pub struct Stream {
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub header: Header,
    /// The URL of the last request, after redirects.
    pub url: String,
    about: About,
    site: &'static Location<'static>,
    from: usize,
    whole: Option<Vec<u8>>, // of a response that came in one part
    over: bool,
}

#[derive(Deserialize)]
struct PartHead {
    #[serde(default)]
    end: bool,
    #[serde(default)]
    error: Option<AnswerError>,
}

impl Stream {
    fn of(response: Response, site: &'static Location<'static>) -> Stream {
        Stream {
            status: response.status,
            header: response.header,
            url: response.url,
            about: response.about,
            site,
            from: 0,
            whole: (!response.body.is_empty()).then_some(response.body),
            over: !response.stream,
        }
    }

    /// Whether the status is 2xx.
    pub fn ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Waits for the next part of the body, which may have any length. `None` is the end. After an error
    /// nothing more comes. If this future is dropped before it is ready, no part of the body is lost.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        if let Some(part) = self.whole.take() {
            return Ok(Some(part));
        }
        if self.over {
            return Ok(None);
        }
        let call = Call::make("read", self.head(false), b"", self.site)?;
        let answer = poll_fn(|cx| call.poll(cx)).await?;
        let what = format!("the engine's answer to call {}", call.number());
        let head: PartHead = json::decode(&what, &answer.head)?;
        self.over = head.end || head.error.is_some();
        if let Some(error) = head.error {
            return Err(error.of(self.about.clone()));
        }
        self.from += answer.body.len();
        Ok((!answer.body.is_empty()).then_some(answer.body))
    }

    fn head(&self, close: bool) -> Head {
        let mut head = Head::new();
        head.int("call", self.about.call);
        head.int("from", i64::try_from(self.from).unwrap_or(i64::MAX));
        if close {
            head.bool("close", true);
        }
        head
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if !self.over {
            // Where no call can be made any more, the end of the run closes it.
            drop(Call::make("read", self.head(true), b"", self.site));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::finish;

    #[test]
    fn stream_outside_a_run_fails() {
        let stream = finish(crate::http::get("u").stream());
        assert!(matches!(stream, Some(Err(Error::Outside))));
    }
}
