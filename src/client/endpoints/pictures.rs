//! Downloads of pictures.

use std::future::Future;

use crate::client::handle::Client;
use crate::client::transport::body::ResponseBody;
use crate::client::transport::request::ApiRequest;
use crate::client::transport::retry::RetryOverride;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::Class;

impl Client {
    /// Downloads a picture. `read` reads the body of each attempt; if it fails, so does the attempt.
    ///
    /// A URL of a host that is not allowed is an error of kind [`ErrorKind::Rejected`].
    pub(crate) async fn picture<T, R, F>(&self, url: &str, subject: String, read: R) -> Result<T>
    where
        T: Send + 'static,
        R: FnMut(ResponseBody) -> F + Send + 'static,
        F: Future<Output = Result<T>> + Send,
    {
        const DOING: &str = "download image";
        let refuse = |why: String| {
            Error::new(ErrorKind::Rejected, DOING).with_subject(subject.clone()).with_source(why)
        };
        // The URL may come from a table of another program.
        if self.shared.transport.holds_token(url.as_bytes()) {
            return Err(refuse("its URL contains the token".to_owned()));
        }
        let url = self.shared.image_hosts.check(url).map_err(|refused| match refused.hint() {
            Some(hint) => refuse(refused.why).with_hint(hint),
            None => refuse(refused.why),
        })?;
        let request = ApiRequest { class: Class::Picture, url, doing: DOING, subject };
        self.send(request, RetryOverride::default(), read).await
    }
}
