//! Responses before they are sent: errors, faults, and failed authentication.

use bytes::Bytes;

use crate::Sandbox;
use crate::api::graph::{JSON, StatusAndBody, error_body};
use crate::fault::Fault;
use crate::request_log::{Host, RecordedRequest};

/// A response before it is sent.
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
}

impl Response {
    pub(super) fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Self { status, headers, body: body.into() }
    }

    /// Creates a response of the Graph API.
    pub(super) fn graph((status, body): StatusAndBody) -> Self {
        let mut response = Self::new(status, JSON, body);
        let usage = "{\"call_count\":1,\"total_cputime\":1,\"total_time\":1}";
        response.headers.push(("x-app-usage".to_owned(), usage.to_owned()));
        response
    }

    fn error(status: u16, code: i32, message: &str) -> Self {
        Self::graph((status, error_body(code, None, message)))
    }

    /// Returns the response of a fault that replaces the correct response.
    ///
    /// `url` is the base URL of the Graph API and the tiles.
    pub(super) fn from_fault(fault: &Fault, request: &RecordedRequest, url: &str) -> Option<Self> {
        const LOGIN: &str = "<!DOCTYPE html><html><body>Log in to Mapillary</body></html>";
        Some(match fault {
            Fault::Status { status, headers, body } => {
                Self { status: *status, headers: headers.clone(), body: body.clone().into() }
            }
            Fault::Redirect => Self::redirect_to_login(request, url),
            Fault::Html => Self::new(200, "text/html; charset=utf-8", LOGIN),
            Fault::BatchFails(_) => Self::error(500, 2, "Service temporarily unavailable"),
            Fault::Quota { .. } => Self::error(403, 4, "Application request limit reached"),
            Fault::TooLarge => Self::error(
                500,
                1,
                "Please reduce the amount of data you're asking for, then retry your request",
            ),
            Fault::EmptyData if request.host == Host::Graph => {
                let is_list = request.path.contains("image");
                Self::graph((200, if is_list { "{\"data\":[]}" } else { "{}" }.to_owned()))
            }
            Fault::Empty | Fault::EmptyData => Self { status: 200, headers: Vec::new(), body: Bytes::new() },
            _ => return None,
        })
    }

    /// Redirects to the login page, with the request's URL in the query.
    fn redirect_to_login(request: &RecordedRequest, url: &str) -> Self {
        let next = match request.query.as_str() {
            "" => format!("{url}{}", request.path),
            query => format!("{url}{}?{query}", request.path),
        };
        let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        let location = format!("https://www.mapillary.com/login/?next={next}");
        Self { status: 302, headers: vec![("location".to_owned(), location)], body: Bytes::new() }
    }
}

/// Returns the error response if the token of a tile request is wrong. Tiles take the token only in the query.
pub(super) fn tile_auth_error(request: &RecordedRequest) -> Option<Response> {
    match request.param("access_token").as_deref() {
        _ if request.authorization.is_some() => {
            Some(Response::error(403, 190, "Invalid OAuth 2.0 Access Token"))
        }
        Some(Sandbox::TOKEN) => None,
        Some(_) => Some(Response::error(403, 190, "Error validating application")),
        None => Some(Response::error(401, 190, "Invalid OAuth 2.0 Access Token")),
    }
}

/// Returns the error response if the token of a Graph API request is wrong.
///
/// The Graph API takes the token in the header or in the query, with different errors.
pub(super) fn graph_auth_error(request: &RecordedRequest) -> Option<Response> {
    let query = request.param("access_token");
    let header = request.authorization.as_deref();
    let without_scheme = |value: &str| value.split_once(' ').map_or(value, |(_, token)| token).to_owned();
    let (token, unknown) = match (header.map(without_scheme), query) {
        (Some(token), _) => (token, 401),
        (None, Some(token)) => (token, 400),
        (None, None) => return Some(Response::error(500, 190, "Invalid OAuth 2.0 Access Token")),
    };
    if token == Sandbox::TOKEN {
        None
    } else if token.starts_with("MLY|") && token.matches('|').count() == 2 {
        Some(Response::error(unknown, 190, "Error validating application"))
    } else {
        Some(Response::error(401, 190, "Failed to decode"))
    }
}
