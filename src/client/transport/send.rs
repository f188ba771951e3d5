//! One attempt: send a request and read its answer.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use crate::client::MIB;
use crate::client::class::Class;
use crate::client::handle::Client;
use crate::client::transport::classify::{Outside, classify};
use crate::client::transport::network_error::network;
use crate::client::transport::retry::Patience;
use crate::client::transport::throughput::Progress;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::Event;

/// What to ask, and how to speak of it.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) class: Class,
    /// Without the token; it is added at the last moment.
    pub(crate) url: Url,
    /// Completes "failed to …".
    pub(crate) doing: &'static str,
    pub(crate) subject: String,
}

/// Enough of a bad answer to know what it says.
const EXCERPT: usize = 64 << 10;

impl Client {
    /// Sends a request until it succeeds or is not worth another attempt; `read` takes each good answer's body.
    ///
    /// It runs in a task of its own, so that a slow consumer can't stall it into its timeout; dropping the future
    /// ends the task.
    pub(crate) async fn send<T, R, F>(&self, ask: Ask, patience: Patience, read: R) -> Result<T>
    where
        T: Send + 'static,
        R: FnMut(Answer) -> F + Send + 'static,
        F: Future<Output = Result<T>> + Send,
    {
        let (doing, subject, client) = (ask.doing, ask.subject.clone(), self.clone());
        let (stopped, reach) = (self.0.stop.clone(), self.reach_of(ask.class));
        let task =
            AbortOnDropHandle::new(tokio::spawn(async move { client.attempts(ask, patience, read).await }));
        let ended = tokio::select! {
            ended = task => ended,
            unreachable = reach.given_up(doing, &subject) => return Err(unreachable),
            () = stopped.cancelled() => {
                return Err(Error::new(ErrorKind::Interrupted, doing).with_subject(subject).with_source("the run was stopped"));
            }
        };
        ended.unwrap_or_else(|panic| {
            Err(Error::new(ErrorKind::Unavailable, doing).with_source(panic.to_string()))
        })
    }

    /// One attempt.
    pub(crate) async fn once<T, R, F>(&self, ask: &Ask, read: &mut R) -> Result<T>
    where
        R: FnMut(Answer) -> F,
        F: Future<Output = Result<T>>,
    {
        let class = ask.class;
        let name = |error: Error| error.with_context(ask.doing, &ask.subject);
        let request = self.request(ask).map_err(name)?;
        self.tell(&Event::Request { class });
        let attempt = async {
            let response = self.headers(ask, request).await?;
            self.heed_usage(class, response.headers());
            let outside = outside(&response);
            let limit = body_limit(class);
            let (timeouts, client) = (self.0.timeouts, self.clone());
            let progress = Progress::default();
            let mut answer = Answer { response, outside, limit, seen: 0, progress, timeouts, client };
            if !(200..300).contains(&answer.outside.status) {
                let excerpt = answer.excerpt().await?;
                let excerpt = self.without_token(class, excerpt.into())?;
                let unknown =
                    || Error::new(ErrorKind::Rejected, "").with_source("an answer that says nothing");
                return Err(classify(class, &answer.outside, &excerpt).unwrap_or_else(unknown));
            }
            read(answer).await
        };
        let ended = match total_timeout(class) {
            None => attempt.await,
            Some(limit) => tokio::time::timeout(limit, attempt).await.unwrap_or_else(|_| {
                Err(Error::new(ErrorKind::Unavailable, "").with_source(format!("no answer within {limit:?}")))
            }),
        };
        ended.map_err(|error| self.judged(ask, error))
    }

    /// Sends it and waits for the headers. Tiles and pictures begin at once or not at all; a search may think.
    async fn headers(&self, ask: &Ask, request: reqwest::RequestBuilder) -> Result<reqwest::Response> {
        let sent = self.reach(ask, request);
        if !matches!(ask.class, Class::Tile | Class::Bytes) {
            return sent.await;
        }
        let stall = self.0.timeouts.stall;
        tokio::time::timeout(stall, sent).await.unwrap_or_else(|_| Err(stalled(stall)))
    }

    /// The Graph says how much of the allowance is used; near its end all of that class slows down.
    fn heed_usage(&self, class: Class, headers: &HeaderMap) {
        let Some(percent) = usage(headers) else { return };
        if self.lane(class).used(percent) {
            self.tell(&Event::ApiUsage { class, percent });
        }
    }

    /// An answer without the token: a server may echo it anywhere.
    fn without_token(&self, class: Class, body: Bytes) -> Result<Bytes> {
        match (&self.0.token, class) {
            (None, _) => Ok(body),
            (Some(token), Class::Tile) if !body.starts_with(b"{") && !body.starts_with(b"<") => {
                Ok(token.cut_tile(body))
            }
            (Some(token), _) => token.cut_answer(body),
        }
    }

    fn request(&self, ask: &Ask) -> Result<reqwest::RequestBuilder> {
        if ask.class == Class::Bytes {
            return Ok(self.0.images.get(ask.url.clone()));
        }
        let token = self.0.token.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::Auth, "").with_source("no token was given").with_hint(
                "set MAPILLARY_TOKEN; make a token at https://www.mapillary.com/dashboard/developers",
            )
        })?;
        if ask.class == Class::Tile {
            // This host refuses the header with a 403.
            let mut url = ask.url.clone();
            url.query_pairs_mut().append_pair("access_token", token.expose());
            return Ok(self.0.tiles.get(url));
        }
        Ok(self.0.graph.get(ask.url.clone()).header(AUTHORIZATION, token.header()?))
    }
}

/// The outside of an answer, with its body still to come.
pub(crate) struct Answer {
    response: reqwest::Response,
    outside: Outside,
    limit: usize,
    seen: usize,
    progress: Progress,
    timeouts: Timeouts,
    client: Client,
}

/// A body that had to wait for its turn to be so large; the turn is over when the body is dropped.
struct Large {
    body: Vec<u8>,
    _turn: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Large {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Answer {
    /// The length that the server declared for what [`Answer::chunk`] gives.
    pub(crate) fn declared_len(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// The next piece of the body.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>> {
        let (stall, began) = (self.timeouts.stall, Instant::now());
        let next = async { self.response.chunk().await.map_err(network) };
        let chunk = tokio::time::timeout(stall, next).await.unwrap_or_else(|_| Err(stalled(stall)))?;
        if let Some(chunk) = &chunk {
            self.progress.note(chunk.len(), began.elapsed(), stall)?;
        }
        self.seen += chunk.as_ref().map_or(0, Bytes::len);
        if self.seen > self.limit {
            let why = format!("the answer is larger than {} MiB", self.limit / MIB);
            return Err(Error::new(ErrorKind::Rejected, "")
                .with_source(why)
                .with_status(self.outside.status));
        }
        Ok(chunk)
    }

    /// The whole body, if it is what its class should be.
    pub(crate) async fn whole(mut self, class: Class) -> Result<Bytes> {
        let first = self.chunk().await?.unwrap_or_default();
        let Some(second) = self.chunk().await? else { return self.checked(class, first) };
        let mut body = Vec::with_capacity(first.len() + second.len());
        body.extend_from_slice(&first);
        body.extend_from_slice(&second);
        let mut turn = None;
        while let Some(chunk) = self.chunk().await? {
            body.extend_from_slice(&chunk);
            if turn.is_none() && body.len() > usual_len(class) {
                turn = Arc::clone(&self.client.0.large).acquire_owned().await.ok();
            }
        }
        self.checked(class, Bytes::from_owner(Large { body, _turn: turn }))
    }

    fn checked(&self, class: Class, body: Bytes) -> Result<Bytes> {
        let body = self.client.without_token(class, body)?;
        classify(class, &self.outside, &body).map_or(Ok(body), Err)
    }

    /// The beginning of a bad answer. One that breaks off may have been about to say what it means, so it counts as
    /// a failure of the network, unless its status says enough.
    async fn excerpt(&mut self) -> Result<Vec<u8>> {
        let mut excerpt = Vec::new();
        while excerpt.len() < EXCERPT {
            match self.chunk().await {
                Ok(Some(chunk)) => excerpt.extend_from_slice(&chunk),
                Err(error) if (400..429).contains(&self.outside.status) => return Err(error),
                _ => break,
            }
        }
        Ok(excerpt)
    }
}

/// How many answers beyond the usual length may be in memory at once.
pub(crate) const LARGE_ANSWERS: usize = 6;

/// Up to this length any number of answers may be in memory; dense tiles have 12 MB.
fn usual_len(class: Class) -> usize {
    match class {
        Class::Tile => 16 * MIB,
        _ => MIB,
    }
}

fn body_limit(class: Class) -> usize {
    match class {
        Class::Bytes => 200 * MIB,
        Class::Tile | Class::Entity | Class::Search => 64 * MIB,
    }
}

/// How long an attempt may take in all. Tiles and pictures may be large and the line slow, so no age ends them: they
/// end by a stall, by [`Progress`] or by the limit of their size.
fn total_timeout(class: Class) -> Option<Duration> {
    match class {
        Class::Entity => Some(Duration::from_mins(1)),
        Class::Search => Some(Duration::from_mins(2)),
        Class::Tile | Class::Bytes => None,
    }
}

/// How long an attempt may go without a sign of life.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    pub(crate) connect: Duration,
    /// Without a byte; also the window over which the rate of a body is taken.
    pub(crate) stall: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(20), stall: Duration::from_mins(1) }
    }
}

fn outside(response: &reqwest::Response) -> Outside {
    let headers = response.headers();
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Outside {
        status: response.status().as_u16(),
        content_type: text(CONTENT_TYPE).to_ascii_lowercase(),
        retry_after: retry_after(headers),
    }
}

/// Seconds or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).ok()
}

/// The largest of the percentages in `x-app-usage`, whatever they are of.
fn usage(headers: &HeaderMap) -> Option<f64> {
    let usage: serde_json::Value = serde_json::from_slice(headers.get("x-app-usage")?.as_bytes()).ok()?;
    let percentages = usage.as_object()?.values().filter_map(serde_json::Value::as_f64);
    percentages.filter(|percent| percent.is_finite()).reduce(f64::max)
}

fn stalled(stall: Duration) -> Error {
    Error::new(ErrorKind::Unavailable, "").with_source(format!("no byte for {stall:?}"))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderName;

    use super::*;

    #[test]
    fn a_wait_is_asked_for_in_seconds_or_by_date() {
        let headers = |text: &str| HeaderMap::from_iter([(RETRY_AFTER, text.parse().expect("a header"))]);
        assert_eq!(retry_after(&headers(" 7 ")), Some(Duration::from_secs(7)));
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(90));
        let wait = retry_after(&headers(&soon)).expect("a date");
        assert!((80..=90).contains(&wait.as_secs()), "{wait:?}");
        assert_eq!(retry_after(&headers("Sun, 06 Nov 1994 08:49:37 GMT")), None, "a date that is past");
        assert_eq!(retry_after(&headers("soon")), None);
    }

    #[test]
    fn the_largest_part_of_the_allowance_counts_whatever_its_name() {
        let headers = |text: &str| {
            HeaderMap::from_iter([(HeaderName::from_static("x-app-usage"), text.parse().expect("a header"))])
        };
        let used = |text| usage(&headers(text));
        assert_eq!(used(r#"{"call_count":28,"total_time":25,"total_cputime":91.5}"#), Some(91.5));
        assert_eq!(used(r#"{"call_volume":90}"#), Some(90.0));
        for nothing in ["", "[]", "{}", r#"{"call_count":"many"}"#, "90"] {
            assert_eq!(used(nothing), None, "{nothing}");
        }
        assert_eq!(usage(&HeaderMap::new()), None);
    }
}
