//! The proxies that the environment names: checked before the first request, since one that can't be used would
//! otherwise be passed over without a word.

use std::env;

use url::Url;

use crate::error::{Error, ErrorKind, Result};

/// The variables, as pairs of spellings of which the first that is set counts.
const VARIABLES: [[&str; 2]; 3] =
    [["HTTPS_PROXY", "https_proxy"], ["HTTP_PROXY", "http_proxy"], ["ALL_PROXY", "all_proxy"]];

/// What may stand before `://` in them.
const SCHEMES: [&str; 4] = ["http", "https", "socks5", "socks5h"];

/// Refuses a variable that names no proxy of a kind that can be used. Its value is not repeated: it may hold a password.
pub(crate) fn check_environment() -> Result<()> {
    for (name, value) in set() {
        flaw(&value).map_or(Ok(()), |why| {
            Err(Error::new(ErrorKind::Usage, "use the proxy")
                .with_subject(name)
                .with_source(why)
                .with_hint(format!("write {name}=http://host:port, https:, socks5: or socks5h:, or unset it; NO_PROXY lists hosts that are asked directly")))
        })?;
    }
    Ok(())
}

/// The names of the variables that are set.
pub(crate) fn variables_set() -> Vec<&'static str> {
    set().map(|(name, _)| name).collect()
}

fn set() -> impl Iterator<Item = (&'static str, String)> {
    // A web server sets this for a program that it runs, and HTTP_PROXY may then come from a stranger's header.
    let is_cgi = env::var_os("REQUEST_METHOD").is_some();
    let value = |name: &&'static str| Some((*name, env::var_os(name)?.to_string_lossy().into_owned()));
    let first = move |pair: &[&'static str; 2]| pair.iter().find_map(value);
    VARIABLES.iter().filter_map(first).filter(move |(_, value)| !is_cgi && !value.is_empty())
}

/// Why a value names no proxy.
fn flaw(value: &str) -> Option<&'static str> {
    if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some("it has spaces or characters that no URL has");
    }
    let (scheme, rest) = value.split_once("://").unwrap_or(("http", value));
    if !SCHEMES.contains(&scheme) {
        return Some("proxies of this kind are not supported");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // Behind a scheme that has rules of its own no host would be looked at.
    match Url::parse(&format!("http://{authority}/")) {
        Ok(url) if url.host_str().is_some() && authority.matches('@').count() <= 1 => None,
        _ => Some(
            "it does not name a host, or has characters in its name or password that must be percent-encoded",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_told_from_what_is_none() {
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
