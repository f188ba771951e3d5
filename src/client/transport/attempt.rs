//! One attempt: sends a request and reads the response.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderMap};

use super::body::ResponseBody;
use super::classify::{ResponseHead, classify};
use super::core::Transport;
use super::request::{ApiRequest, stalled, total_timeout};
use crate::error::{Error, ErrorKind, Result};
use crate::observe::{Class, Event};

impl Transport {
    /// Sends a request once. `read` reads the body if the status is 2xx.
    pub(crate) async fn attempt<T, R, F>(self: &Arc<Self>, request: &ApiRequest, read: &mut R) -> Result<T>
    where
        R: FnMut(ResponseBody) -> F,
        F: Future<Output = Result<T>>,
    {
        let class = request.class;
        let with_context = |error: Error| error.with_context(request.doing, &request.subject);
        let builder = self.build_request(request).map_err(with_context)?;
        self.emit(&Event::Request { class });
        let attempt = async {
            let response = self.receive_headers(request, builder).await?;
            self.apply_usage_header(class, response.headers());
            let head = ResponseHead::from_response(&response);
            let mut body = ResponseBody::new(response, head, class, Arc::clone(self));
            if !body.head().is_success() {
                let excerpt = body.excerpt().await?;
                let excerpt = self.redact_body(class, excerpt.into())?;
                let unknown =
                    || Error::new(ErrorKind::Rejected, "").with_source("a response without a reason");
                return Err(classify(class, body.head(), &excerpt).unwrap_or_else(unknown));
            }
            read(body).await
        };
        let result = match total_timeout(class) {
            None => attempt.await,
            Some(limit) => tokio::time::timeout(limit, attempt).await.unwrap_or_else(|_| {
                let why = format!("no complete response within {limit:?}");
                Err(Error::new(ErrorKind::Unavailable, "").with_source(why))
            }),
        };
        result.map_err(|error| self.judge_failure(request, error))
    }

    /// Sends the request and waits for the headers.
    ///
    /// Hosts of tiles and pictures start to respond at once, so the stall timeout applies. A search may take longer.
    async fn receive_headers(
        &self,
        request: &ApiRequest,
        builder: reqwest::RequestBuilder,
    ) -> Result<reqwest::Response> {
        let response = self.connect(request, builder);
        if !matches!(request.class, Class::Tile | Class::Picture) {
            return response.await;
        }
        let stall = self.timeouts.stall;
        tokio::time::timeout(stall, response).await.unwrap_or_else(|_| Err(stalled(stall)))
    }

    /// Slows down the class if the API says that its allowance is nearly used up.
    fn apply_usage_header(&self, class: Class, headers: &HeaderMap) {
        let Some(percent) = usage_percent(headers) else { return };
        if self.rates.report_usage(class, percent) {
            self.emit(&Event::ApiUsage { class, percent });
        }
    }

    /// Removes the token from a body: a server may repeat it anywhere.
    pub(crate) fn redact_body(&self, class: Class, body: Bytes) -> Result<Bytes> {
        match (&self.token, class) {
            (None, _) => Ok(body),
            (Some(token), Class::Tile) if !body.starts_with(b"{") && !body.starts_with(b"<") => {
                Ok(token.redact_tile(body))
            }
            (Some(token), _) => token.redact_response(body),
        }
    }

    fn build_request(&self, request: &ApiRequest) -> Result<reqwest::RequestBuilder> {
        if request.class == Class::Picture {
            return Ok(self.images.get(request.url.clone()));
        }
        let token = self.token.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::Auth, "").with_source("no token was given").with_hint(
                "set MAPILLARY_TOKEN; create a token at https://www.mapillary.com/dashboard/developers",
            )
        })?;
        if request.class == Class::Tile {
            // The tile host rejects the `Authorization` header with status 403.
            let mut url = request.url.clone();
            url.query_pairs_mut().append_pair("access_token", token.expose());
            return Ok(self.tiles.get(url));
        }
        Ok(self.graph.get(request.url.clone()).header(AUTHORIZATION, token.header()?))
    }
}

/// Returns the largest percentage in the header `x-app-usage`.
fn usage_percent(headers: &HeaderMap) -> Option<f64> {
    let usage: serde_json::Value = serde_json::from_slice(headers.get("x-app-usage")?.as_bytes()).ok()?;
    let percentages = usage.as_object()?.values().filter_map(serde_json::Value::as_f64);
    percentages.filter(|percent| percent.is_finite()).reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderName;

    use super::*;

    #[test]
    fn the_largest_percentage_counts_whatever_its_name() {
        let headers = |text: &str| {
            HeaderMap::from_iter([(HeaderName::from_static("x-app-usage"), text.parse().expect("a header"))])
        };
        let used = |text| usage_percent(&headers(text));
        assert_eq!(used(r#"{"call_count":28,"total_time":25,"total_cputime":91.5}"#), Some(91.5));
        assert_eq!(used(r#"{"call_volume":90}"#), Some(90.0));
        for nothing in ["", "[]", "{}", r#"{"call_count":"many"}"#, "90"] {
            assert_eq!(used(nothing), None, "{nothing}");
        }
        assert_eq!(usage_percent(&HeaderMap::new()), None);
    }
}
