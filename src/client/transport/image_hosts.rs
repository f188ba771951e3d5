//! Checks the hosts of picture URLs. The URLs come from tables and responses, so they are not trusted.

use url::{Host, Url};

/// The domains of Mapillary's image hosts. Their subdomains are caches in many places.
const IMAGE_HOSTS: [&str; 2] = [".fbcdn.net", ".fbsbx.com"];

/// The longest accepted URL. Real ones have about 500 characters.
const MAX_URL_LEN: usize = 4096;

/// The longest host name.
const MAX_HOST_LEN: usize = 253;

/// The hosts from which pictures may be downloaded.
#[derive(Debug, Clone, Default)]
pub(crate) struct ImageHosts {
    /// Graph API and tile host, which are trusted with pictures too.
    api: Vec<Url>,
    /// Hosts that the user allows in addition.
    allowed: Vec<AllowedHost>,
}

/// A host or all subdomains of a domain, on one port or on any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AllowedHost {
    host: String,
    subdomains: bool,
    port: Option<u16>,
}

impl AllowedHost {
    /// Parses `host`, `host:port` or `*.host`.
    ///
    /// The part after `*.` must contain a dot, so `*.com` is rejected.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (name, subdomains) = match text.trim().strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text.trim(), false),
        };
        // Parsed as part of a URL, so that names are normalized as in the URLs of pictures.
        let url = Url::parse(&format!("https://{name}/")).ok()?;
        let is_host = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !is_host
            || name.contains('*')
            || !url.username().is_empty()
            || url.password().is_some()
            || name.contains('/')
        {
            return None;
        }
        let has_dot = matches!(url.host(), Some(Host::Domain(name)) if name.trim_matches('.').contains('.'));
        if subdomains && !has_dot {
            return None;
        }
        // The URL drops the default port of its scheme.
        let port = name.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        Some(Self { host: url.host_str()?.to_owned(), subdomains, port })
    }

    fn matches(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let is_match =
            if self.subdomains { is_subdomain(host, &format!(".{}", self.host)) } else { host == self.host };
        is_match && self.port.is_none_or(|port| url.port_or_known_default() == Some(port))
    }
}

/// Why a URL is not requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UrlRefused {
    pub(crate) why: String,
    /// The host to allow, if the host is the only reason.
    pub(crate) host: Option<String>,
}

impl From<String> for UrlRefused {
    fn from(why: String) -> Self {
        Self { why, host: None }
    }
}

impl UrlRefused {
    /// Returns what the user can do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        let host = self.host.as_ref().filter(|host| host.len() <= MAX_HOST_LEN)?;
        Some(format!("if you trust this host, pass `--allow-host {host}`"))
    }
}

impl ImageHosts {
    pub(crate) fn new(api: [&Url; 2], allowed: Vec<AllowedHost>) -> Self {
        Self { api: api.map(Url::clone).to_vec(), allowed }
    }

    /// Parses the URL of a picture and checks its host.
    pub(crate) fn check(&self, text: &str) -> Result<Url, UrlRefused> {
        if text.len() > MAX_URL_LEN {
            return Err(format!("the URL is longer than {MAX_URL_LEN} characters").into());
        }
        let url = Url::parse(text).map_err(|_| "the URL is not valid".to_owned())?;
        self.check_url(&url).map(|()| url)
    }

    /// Checks the host of a URL.
    pub(crate) fn check_url(&self, url: &Url) -> Result<(), UrlRefused> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err("the URL is neither `https:` nor `http:`".to_owned().into());
        }
        let Some(host) = url.host_str() else { return Err("the URL has no host".to_owned().into()) };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("the URL contains a user name or a password".to_owned().into());
        }
        let is_https = url.scheme() == "https";
        let by_api =
            self.api.iter().any(|api| api.host() == url.host() && (is_https || api.scheme() == "http"));
        if by_api || self.allowed.iter().any(|allowed| allowed.matches(url)) {
            return Ok(());
        }
        let is_domain = matches!(url.host(), Some(Host::Domain(_)));
        let why = match is_domain && IMAGE_HOSTS.iter().any(|known| is_subdomain(host, known)) {
            true if is_https && url.port().is_none() => return Ok(()),
            true => "the URL must use `https:` without a port".to_owned(),
            false => format!("`{}` is not an image host of Mapillary", shown(host)),
        };
        Err(UrlRefused { why, host: Some(host.to_owned()) })
    }
}

fn is_subdomain(host: &str, end: &str) -> bool {
    host.len() > end.len() && host.ends_with(end)
}

fn shown(host: &str) -> String {
    host.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(api: &str, allowed: &[&str]) -> ImageHosts {
        let api = Url::parse(api).expect("a URL");
        ImageHosts::new(
            [&api, &api],
            allowed.iter().map(|text| AllowedHost::parse(text).expect(text)).collect(),
        )
    }

    #[test]
    fn only_mapillarys_image_hosts_are_allowed_and_only_over_https() {
        let hosts = hosts("https://graph.mapillary.com", &[]);
        for good in [
            "https://scontent-fra3-1.xx.fbcdn.net/m1/v/t6/An?oe=6AE64C74",
            "https://scontent.isp.fna.fbcdn.net/x",
            "https://a.mapillary.com.cdn.fbsbx.com/x",
            "https://graph.mapillary.com/x",
            "HTTPS://SCONTENT.FBCDN.NET/x",
        ] {
            assert!(hosts.check(good).is_ok(), "{good}");
        }
        for bad in [
            "http://scontent.fbcdn.net/x",
            "https://scontent.fbcdn.net:8443/x",
            "https://fbcdn.net.evil.example/x",
            "https://evilfbcdn.net/x",
            "https://fbcdn.net@evil.example/x",
            "https://user:word@scontent.fbcdn.net/x",
            "https://fbcdn.net/x",
            "http://127.0.0.1/x",
            "http://[::1]:80/x",
            "http://169.254.169.254/latest/meta-data",
            "https://localhost/x",
            "http://graph.mapillary.com/x",
            "file:///etc/passwd",
            "ftp://scontent.fbcdn.net/x",
            "data:image/jpeg;base64,AAAA",
            "//scontent.fbcdn.net/x",
            "",
        ] {
            let host = hosts.check(bad).expect_err(bad).host;
            // If the error names a host, to allow that host is enough.
            match host {
                Some(host) => assert!(self::hosts("https://a.example", &[&host]).check(bad).is_ok(), "{bad}"),
                None => assert!(!bad.starts_with("http") || bad.contains('@'), "{bad}"),
            }
        }
        assert!(hosts.check(&format!("https://a.fbcdn.net/{}", "x".repeat(5000))).is_err());
    }

    #[test]
    fn the_api_host_and_hosts_of_the_user_are_allowed() {
        let hosts = hosts("http://127.0.0.1:7000", &["pictures.example:8080", "*.mirror.example"]);
        for good in [
            "http://127.0.0.1:7001/x",
            "http://pictures.example:8080/x",
            "https://a.b.mirror.example/x",
            "https://scontent.fbcdn.net/x",
        ] {
            assert!(hosts.check(good).is_ok(), "{good}");
        }
        for bad in [
            "http://pictures.example/x",
            "https://mirror.example/x",
            "http://127.0.0.2/x",
            "http://localhost/x",
        ] {
            assert!(hosts.check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn texts_that_are_not_hosts_cannot_be_allowed() {
        for bad in [
            "",
            "a/b",
            "https://a",
            "a b",
            "user@host",
            "*.",
            "a?b",
            "host:port",
            "*",
            "a.*.example",
            "*.com",
            "*.com.",
            "*.127.0.0.1",
        ] {
            assert_eq!(AllowedHost::parse(bad), None, "{bad}");
        }
        for good in
            ["a.example", "a.example:80", "a.example:443", "127.0.0.1:9000", "[::1]:9000", "*.a.example"]
        {
            assert!(AllowedHost::parse(good).is_some(), "{good}");
        }
    }
}
