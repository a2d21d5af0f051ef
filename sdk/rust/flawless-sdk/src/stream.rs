//! Responses that are read as they come.

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
    /// Sends the request, and hands the response over when its head has come. [`Stream::next`] then returns
    /// the body as it comes, for APIs that answer bit by bit, such as server-sent events of a language model.
    ///
    /// Each part that is read is in the run's log before the code sees it, and a replay reads the same parts.
    /// With the head the request is answered: what breaks off behind it is an error of kind
    /// [`crate::Kind::Broken`] at that place, and nothing is sent again. A restart of the server breaks a
    /// stream. [`timeout`](Request::timeout) limits the time until the head, and the time to each next part;
    /// [`limit`](Request::limit) counts all parts together. A response whose status is not 2xx comes in one
    /// part.
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
    /// In a plain function it is `.stream().wait()?` and `.next().wait()?`, with [`crate::Wait`].
    #[track_caller]
    pub fn stream(mut self) -> Streaming {
        self.streams = true;
        Streaming {
            sending: self.send(),
            site: Location::caller(),
        }
    }
}

/// A request that was sent: a future of its [`Stream`]. What is said of [`Sending`] holds for it.
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
    /// The status of the response.
    pub status: u16,
    /// Its header fields.
    pub header: Header,
    /// Where it came from, after redirects.
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

    /// Tells whether the status is 2xx.
    pub fn ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Waits for the next part of the body, of whatever length has come. `None` is its end. After an error
    /// there is nothing more. When this is dropped before it is ready, nothing of the body is lost.
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
    fn outside_of_a_run_there_is_no_stream() {
        let stream = finish(crate::http::get("u").stream());
        assert!(matches!(stream, Some(Err(Error::Outside))));
    }
}
