//! Links to next pages.

use url::Url;

use crate::client::handle::Client;

impl Client {
    /// Parses the link to a next page, which may be a path, and removes the token from it. Returns `None` for a link to
    /// another host.
    ///
    /// The request for the page carries the token in a header, so it may go only to the host of the Graph API.
    pub(crate) fn next_page(&self, link: &str) -> Option<Url> {
        // A `blob:` URL has the origin of the URL inside it, so the scheme counts too.
        let graph = &self.shared.graph_url;
        let is_same_host = |url: &Url| url.origin() == graph.origin() && url.scheme() == graph.scheme();
        // A user name in the URL would be sent to the host.
        let has_no_login = |url: &Url| url.username().is_empty() && url.password().is_none();
        let url = if link.starts_with('/') { without_login(graph).join(link) } else { Url::parse(link) };
        let mut url = url.ok().filter(is_same_host).filter(has_no_login)?;
        if let Some(query) = url.query() {
            let others = query.split('&').filter(|pair| !pair.starts_with("access_token="));
            let query = others.collect::<Vec<_>>().join("&");
            url.set_query(Some(&query));
        }
        Some(url)
    }

    /// Adds the user name and password of the Graph API's URL to the URL of a next page.
    pub(crate) fn with_login(&self, mut url: Url) -> Url {
        let graph = &self.shared.graph_url;
        if url.origin() == graph.origin() {
            // Both URLs have a host, so this can't fail.
            url.set_username(graph.username()).ok();
            url.set_password(graph.password()).ok();
        }
        url
    }
}

fn without_login(url: &Url) -> Url {
    let mut url = url.clone();
    // The URL has a host, so this can't fail.
    url.set_username("").ok();
    url.set_password(None).ok();
    url
}
