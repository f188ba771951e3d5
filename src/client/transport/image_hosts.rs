//! Where a picture may come from: URLs stand in tables and answers, and either may be anybody's.

use std::time::SystemTime;

use url::{Host, Url};

/// The hosts of Mapillary's pictures, by the end of their names: the cache that is nearest answers.
const IMAGE_HOSTS: [&str; 2] = [".fbcdn.net", ".fbsbx.com"];

/// No URL of a picture is longer; real ones have some 500 characters.
const LONGEST: usize = 4096;

/// No name of a host is longer.
const MAX_NAME_LEN: usize = 253;

/// A signed URL is taken for dead so many seconds before its end, for a download takes its time.
const MARGIN: u64 = 600;

/// Which hosts may be asked for pictures.
#[derive(Debug, Clone, Default)]
pub(crate) struct ImageHosts {
    /// Graph and tile host: whoever serves the answers may serve the pictures.
    api: Vec<Url>,
    /// What the user allows besides.
    allowed: Vec<Allowed>,
}

/// A host by name, or all below a name; on one port, or on any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Allowed {
    host: String,
    below: bool,
    port: Option<u16>,
}

impl Allowed {
    /// Reads `host`, `host:port` or `*.host`; what follows the star must itself be a name below another, for `*.com` would
    /// be nearly everybody.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (name, below) = match text.trim().strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text.trim(), false),
        };
        // As the host of a URL, so that names are compared as the client will use them.
        let url = Url::parse(&format!("https://{name}/")).ok()?;
        let plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !plain
            || name.contains('*')
            || !url.username().is_empty()
            || url.password().is_some()
            || name.contains('/')
        {
            return None;
        }
        let below_another =
            matches!(url.host(), Some(Host::Domain(name)) if name.trim_matches('.').contains('.'));
        if below && !below_another {
            return None;
        }
        // A port that is the scheme's own is not kept by the URL.
        let port = name.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        Some(Self { host: url.host_str()?.to_owned(), below, port })
    }

    fn holds(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let named = if self.below { is_below(host, &format!(".{}", self.host)) } else { host == self.host };
        named && self.port.is_none_or(|port| url.port_or_known_default() == Some(port))
    }
}

/// Why a URL is not asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotAsked {
    pub(crate) why: String,
    /// The host that would have to be allowed, if that is all that stands against it.
    pub(crate) host: Option<String>,
}

impl From<String> for NotAsked {
    fn from(why: String) -> Self {
        Self { why, host: None }
    }
}

impl NotAsked {
    /// What the user may do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        let host = self.host.as_ref().filter(|host| host.len() <= MAX_NAME_LEN)?;
        Some(format!("if you trust that host, say `--allow-host {host}`"))
    }
}

impl ImageHosts {
    pub(crate) fn new(api: [&Url; 2], allowed: Vec<Allowed>) -> Self {
        Self { api: api.map(Url::clone).to_vec(), allowed }
    }

    /// Reads the URL of a picture, or says why nothing is asked there.
    pub(crate) fn check(&self, text: &str) -> Result<Url, NotAsked> {
        if text.len() > LONGEST {
            return Err(format!("its URL is longer than {LONGEST} characters").into());
        }
        let url = Url::parse(text).map_err(|_| "its URL can't be read".to_owned())?;
        self.check_url(&url).map(|()| url)
    }

    pub(crate) fn check_url(&self, url: &Url) -> Result<(), NotAsked> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err("its URL is neither `https:` nor `http:`".to_owned().into());
        }
        let Some(host) = url.host_str() else { return Err("its URL names no host".to_owned().into()) };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("its URL has a name or a password in it".to_owned().into());
        }
        let secure = url.scheme() == "https";
        let by_api =
            self.api.iter().any(|api| api.host() == url.host() && (secure || api.scheme() == "http"));
        if by_api || self.allowed.iter().any(|allowed| allowed.holds(url)) {
            return Ok(());
        }
        let named = matches!(url.host(), Some(Host::Domain(_)));
        let why = match named && IMAGE_HOSTS.iter().any(|known| is_below(host, known)) {
            true if secure && url.port().is_none() => return Ok(()),
            true => "its URL must be an `https:` one without a port".to_owned(),
            false => format!("`{}` is no image host of Mapillary", shown(host)),
        };
        Err(NotAsked { why, host: Some(host.to_owned()) })
    }
}

fn is_below(host: &str, end: &str) -> bool {
    host.len() > end.len() && host.ends_with(end)
}

fn shown(host: &str) -> String {
    host.chars().take(80).collect()
}

/// When a signed URL is of no use any more, in seconds since 1970; never, if it does not say.
pub(crate) fn expiry(url: &str) -> u64 {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let oe = query.split('&').find_map(|pair| pair.strip_prefix("oe="));
    oe.and_then(|oe| u64::from_str_radix(oe, 16).ok()).map_or(u64::MAX, |end| end.saturating_sub(MARGIN))
}

/// Whether a signed URL is not worth a request any more.
pub(crate) fn has_ended(url: &str) -> bool {
    expiry(url) < now()
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(api: &str, allowed: &[&str]) -> ImageHosts {
        let api = Url::parse(api).expect("a URL");
        ImageHosts::new([&api, &api], allowed.iter().map(|text| Allowed::read(text).expect(text)).collect())
    }

    #[test]
    fn mapillarys_image_hosts_are_asked_over_https_and_nobody_else() {
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
            // Once it is allowed, it is asked; where there is none, nothing would help.
            match host {
                Some(host) => assert!(self::hosts("https://a.example", &[&host]).check(bad).is_ok(), "{bad}"),
                None => assert!(!bad.starts_with("http") || bad.contains('@'), "{bad}"),
            }
        }
        assert!(hosts.check(&format!("https://a.fbcdn.net/{}", "x".repeat(5000))).is_err());
    }

    #[test]
    fn the_apis_own_host_and_what_the_user_names_are_asked_too() {
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
    fn what_is_no_host_cannot_be_allowed() {
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
            assert_eq!(Allowed::read(bad), None, "{bad}");
        }
        for good in
            ["a.example", "a.example:80", "a.example:443", "127.0.0.1:9000", "[::1]:9000", "*.a.example"]
        {
            assert!(Allowed::read(good).is_some(), "{good}");
        }
    }

    #[test]
    fn a_url_ends_a_little_before_it_says() {
        assert_eq!(expiry("https://x/y?a=b&oe=3E8&c=d"), 400);
        assert_eq!(expiry("https://x/y?oe=1"), 0);
        for endless in ["https://x/y", "https://x/y?oe=", "https://x/y?oe=zz", "https://x/oe=1"] {
            assert_eq!(expiry(endless), u64::MAX, "{endless}");
        }
    }
}
