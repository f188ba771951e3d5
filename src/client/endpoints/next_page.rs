//! URLs with a name and a password in them, for mirrors that ask for one.

use url::Url;

use crate::client::handle::Client;

impl Client {
    /// The address of a next page with the name and the password that the Graph was given with.
    pub(crate) fn with_login(&self, mut next: Url) -> Url {
        let graph = &self.0.graph_url;
        if next.origin() == graph.origin() {
            // Both have a host, so both can have a login.
            next.set_username(graph.username()).ok();
            next.set_password(graph.password()).ok();
        }
        next
    }
}
