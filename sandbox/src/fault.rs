//! Faults of the mock server.

use std::time::Duration;

use crate::api::graph;
use crate::request_log::RecordedRequest;

/// A fault: how the response to a request differs from the correct one.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Fault {
    /// Sends this response instead.
    Status {
        /// The HTTP status.
        status: u16,
        /// Names and values of the headers.
        headers: Vec<(String, String)>,
        /// The body.
        body: String,
    },
    /// Redirects to the login page, with the request's URL and token in the query: the block of the tile host.
    Redirect,
    /// Sends the login page with status 200.
    Html,
    /// Sends status 200 with an empty body.
    Empty,
    /// Sends the correct headers, then closes the connection after this many bytes of the body.
    Truncate(usize),
    /// Cuts the body to this many bytes, with a `Content-Length` that matches.
    TruncateSilently(usize),
    /// Closes the connection without a response.
    Reset,
    /// Sends the headers, but no body, and keeps the connection open.
    Stall,
    /// Sends the correct response at this many bytes per second.
    Trickle(u32),
    /// Sends the correct response after a delay.
    Delay(Duration),
    /// Omits these ids from batches. Requests for a single id get a correct response.
    MissingIds(Vec<String>),
    /// Sends 500 with code 2 for every batch of two or more ids that contains this id.
    BatchFails(String),
    /// Sends 403 with code 4 if there were too many requests in the last minute.
    Quota {
        /// Number of successful requests per minute.
        per_minute: usize,
    },
    /// Sends 500 with code 1: "reduce the amount of data".
    TooLarge,
    /// Sends a valid response without data.
    EmptyData,
}

impl Fault {
    /// Creates a response with this status and body, and without headers.
    pub fn status(status: u16, body: &str) -> Self {
        Self::Status { status, headers: Vec::new(), body: body.to_owned() }
    }

    /// Creates an error response in the format of the Graph API.
    pub fn graph_error(status: u16, code: i32, subcode: Option<i32>, message: &str) -> Self {
        let body = graph::error_body(code, subcode, message);
        let headers = vec![("content-type".to_owned(), graph::JSON.to_owned())];
        Self::Status { status, headers, body }
    }

    /// Adds a header such as `Retry-After` to [`Fault::Status`]. Other faults ignore it.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Self::Status { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Returns whether the fault can affect this request. Other requests do not count for the rule.
    pub(crate) fn applies_to(&self, request: &RecordedRequest) -> bool {
        match self {
            Self::MissingIds(_) => request.ids().len() > 1,
            Self::BatchFails(id) => request.ids().len() > 1 && request.ids().contains(id),
            _ => true,
        }
    }
}
