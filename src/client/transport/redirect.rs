//! Redirects of pictures.

use reqwest::redirect::Policy;

use super::image_hosts::ImageHosts;
use super::network_error::RedirectRefused;

/// The longest chain of redirects.
const MAX_REDIRECTS: usize = 3;

/// Follows redirects only to allowed hosts, not in circles, and not from `https:` to `http:`.
pub(crate) fn redirect_policy(hosts: ImageHosts) -> Policy {
    Policy::custom(move |redirect| {
        let refused = |how: &str| RedirectRefused { why: format!("it is redirected {how}"), hint: None };
        if redirect.previous().contains(redirect.url()) {
            return redirect.error(refused("in a circle"));
        }
        if redirect.previous().len() > MAX_REDIRECTS {
            return redirect.error(refused("too often"));
        }
        let was_https = redirect.previous().last().is_some_and(|url| url.scheme() == "https");
        match hosts.check_url(redirect.url()) {
            Ok(()) if was_https && redirect.url().scheme() == "http" => {
                redirect.error(refused("from `https:` to `http:`, which is not encrypted"))
            }
            Ok(()) => redirect.follow(),
            Err(not_allowed) => {
                let hint = not_allowed.hint();
                let why = refused(&format!("to another host, but {}", not_allowed.why)).why;
                redirect.error(RedirectRefused { why, hint })
            }
        }
    })
}
