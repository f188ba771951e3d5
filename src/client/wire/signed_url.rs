//! The expiry of signed URLs.

use std::time::SystemTime;

/// How long before its expiry a URL counts as expired, in seconds. A download takes some time.
const EXPIRY_MARGIN: u64 = 600;

/// Returns when a signed URL becomes useless, in seconds since 1970; `u64::MAX` if the URL does not say.
///
/// The query parameter `oe` of Mapillary's image hosts is the expiry, in hexadecimal.
pub(crate) fn expiry(url: &str) -> u64 {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let oe = query.split('&').find_map(|pair| pair.strip_prefix("oe="));
    oe.and_then(|oe| u64::from_str_radix(oe, 16).ok())
        .map_or(u64::MAX, |expiry| expiry.saturating_sub(EXPIRY_MARGIN))
}

/// Whether a signed URL has expired or expires within ten minutes.
pub(crate) fn is_expired(url: &str) -> bool {
    expiry(url) < now()
}

/// Returns the current time in seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_expires_ten_minutes_before_its_expiry() {
        assert_eq!(expiry("https://x/y?a=b&oe=3E8&c=d"), 400);
        assert_eq!(expiry("https://x/y?oe=1"), 0);
        for endless in ["https://x/y", "https://x/y?oe=", "https://x/y?oe=zz", "https://x/oe=1"] {
            assert_eq!(expiry(endless), u64::MAX, "{endless}");
        }
    }
}
