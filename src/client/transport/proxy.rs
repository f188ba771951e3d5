//! Checks the proxies in the environment before the first request. The HTTP client would ignore an invalid one silently.

use std::env;

use url::Url;

use crate::error::{Error, ErrorKind, Result};

/// The variables, each in two spellings. The first one that is set counts.
const VARIABLES: [[&str; 2]; 3] =
    [["HTTPS_PROXY", "https_proxy"], ["HTTP_PROXY", "http_proxy"], ["ALL_PROXY", "all_proxy"]];

/// The supported schemes.
const SCHEMES: [&str; 4] = ["http", "https", "socks5", "socks5h"];

/// Returns an error if a variable has an invalid proxy. The message does not repeat the value, which may contain a
/// password.
pub(crate) fn check_environment() -> Result<()> {
    for (name, value) in variables() {
        if let Some(why) = flaw(&value) {
            return Err(Error::new(ErrorKind::Usage, "use the proxy")
                .with_subject(name)
                .with_source(why)
                .with_hint(format!("set {name} to http://HOST:PORT (or https:, socks5:, socks5h:), or unset it; hosts in NO_PROXY are requested directly")));
        }
    }
    Ok(())
}

/// Returns the names of the variables that are set.
pub(crate) fn variables_set() -> Vec<&'static str> {
    variables().map(|(name, _)| name).collect()
}

/// Returns the variables that are set, with their values.
fn variables() -> impl Iterator<Item = (&'static str, String)> {
    // A web server sets this for a CGI program, and then HTTP_PROXY may come from a header of the request.
    let is_cgi = env::var_os("REQUEST_METHOD").is_some();
    let value = |name: &&'static str| Some((*name, env::var_os(name)?.to_string_lossy().into_owned()));
    let first = move |pair: &[&'static str; 2]| pair.iter().find_map(value);
    VARIABLES.iter().filter_map(first).filter(move |(_, value)| !is_cgi && !value.is_empty())
}

/// Returns why a value is not a valid proxy.
fn flaw(value: &str) -> Option<&'static str> {
    if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some("it contains spaces or characters that are not allowed in a URL");
    }
    let (scheme, rest) = value.split_once("://").unwrap_or(("http", value));
    if !SCHEMES.contains(&scheme) {
        return Some("proxies of this kind are not supported");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // The URL parser checks the host only for schemes that it knows.
    match Url::parse(&format!("http://{authority}/")) {
        Ok(url) if url.host_str().is_some() && authority.matches('@').count() <= 1 => None,
        _ => Some("it has no host, or characters in its user name or password that must be percent-encoded"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_and_invalid_proxies() {
        for good in [
            "http://proxy.example:3128",
            "https://proxy.example",
            "proxy.example:3128",
            "proxy.example",
            "http://name:word@proxy.example:3128/",
            "socks5://127.0.0.1:1080",
            "socks5h://name:w%40rd@[::1]:1080",
        ] {
            assert_eq!(flaw(good), None, "{good}");
        }
        for bad in [
            "socks4://127.0.0.1:1080",
            "socks4a://127.0.0.1:1080",
            "socks://127.0.0.1:1080",
            "ftp://proxy.example",
            "://proxy.example",
            "http://",
            "http:// proxy.example",
            "http://proxy.example:port",
            "http://name:w@rd@proxy.example",
            "http://name:w#rd@proxy.example",
            "what is this",
            "pröxy",
        ] {
            assert!(flaw(bad).is_some(), "{bad}");
        }
    }
}
