//! Picture URLs: signed, with an expiry time, a pure function of image and size.

use crate::mock_data::hash::mix;

/// Makes the URLs of pictures and pages.
#[derive(Debug, Clone, Default)]
pub(crate) struct PictureUrls {
    /// URL of the image host.
    pub(crate) base: String,
    /// When the URLs expire, in Unix seconds.
    pub(crate) expiry: u32,
    /// Base URL of the Graph API, for the next pages of detections.
    pub(crate) graph: String,
    /// Maximum number of detections in a list. By default, all come at once.
    pub(crate) detections_per_page: Option<usize>,
}

/// The numeric image id, and the size unless it is the original.
pub(crate) type PictureRequest = (u64, Option<(u32, u32)>);

const MASK: u64 = 0x5A17_C0DE_0B5C_2E91;

impl PictureUrls {
    /// Returns the URL of a picture of this size, or of the original for `None`.
    pub(super) fn picture(&self, image: u64, size: Option<(u32, u32)>) -> String {
        let stp = size.map(|(width, height)| format!("stp=s{width}x{height}&")).unwrap_or_default();
        format!(
            "{}/m1/v/t6/{}?{stp}edm=AOnQwmMEAAAA&_nc_gid={}&_nc_oc=Adk{}{}&ccb=10-5&oh=00_{}&oe={:X}&_nc_sid=201bca",
            self.base,
            file_name(image),
            letters(mix(image, 1)),
            letters(mix(image, 2)),
            letters(mix(image, 3)),
            signature(image, size, self.expiry),
            self.expiry,
        )
    }

    /// Returns the URL of a mesh or cluster, which the mock server does not serve.
    pub(super) fn other(&self, number: u64) -> String {
        let (oh, oe) = (signature(number, None, 0), self.expiry);
        format!("{}/m1/v/t6/{}?ccb=10-5&oh=00_{oh}&oe={oe:X}&_nc_sid=201bca", self.base, file_name(number))
    }
}

/// Parses a URL. An edited or expired URL gives the error message of the real image host.
pub(crate) fn parse(path: &str, query: &str, now: u64) -> Result<PictureRequest, &'static str> {
    const MISMATCH: &str = "URL signature mismatch";
    let param = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let image = path.strip_prefix("/m1/v/t6/").and_then(parse_file_name).ok_or(MISMATCH)?;
    let expiry = param("oe").and_then(|hex| u32::from_str_radix(hex, 16).ok()).ok_or(MISMATCH)?;
    let size = match param("stp") {
        Some(stp) => Some(parse_size(stp).ok_or(MISMATCH)?),
        None => None,
    };
    if param("oh").and_then(|oh| oh.strip_prefix("00_")) != Some(&signature(image, size, expiry)) {
        return Err(MISMATCH);
    }
    if u64::from(expiry) < now { Err("URL signature expired") } else { Ok((image, size)) }
}

fn parse_size(stp: &str) -> Option<(u32, u32)> {
    let (width, height) = stp.strip_prefix('s')?.split_once('x')?;
    Some((width.parse().ok()?, height.parse().ok()?))
}

/// Returns the last part of the path. All sizes of an image share it.
fn file_name(image: u64) -> String {
    let filler: String = (10..17).map(|what| letters(mix(image, what))).collect();
    format!("An{}{filler}", letters(image ^ MASK))
}

fn parse_file_name(name: &str) -> Option<u64> {
    let text = name.strip_prefix("An")?.get(..11)?;
    let mut number = 0_u64;
    for (index, letter) in text.bytes().enumerate() {
        let digit = LETTERS.iter().position(|known| *known == letter)? as u64;
        number |= digit << (6 * index);
    }
    let image = number ^ MASK;
    (file_name(image) == name).then_some(image)
}

fn signature(image: u64, size: Option<(u32, u32)>, expiry: u32) -> String {
    let (width, height) = size.unwrap_or_default();
    let signed = mix(mix(image ^ MASK, u64::from(width) << 32 | u64::from(height)), u64::from(expiry));
    format!("AQ{}{}", letters(signed), letters(mix(signed, 1)))
}

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Encodes 64 bits as 11 letters.
pub(crate) fn letters(number: u64) -> String {
    (0..11).map(|index| char::from(LETTERS[(number >> (6 * index) & 63) as usize])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(url: &str) -> (&str, &str) {
        url.strip_prefix("http://i").and_then(|rest| rest.split_once('?')).expect("a path and a query")
    }

    #[test]
    fn a_url_is_valid_until_it_is_edited_or_expires() {
        let urls = PictureUrls { base: "http://i".to_owned(), expiry: 1_000, ..Default::default() };
        for size in [Some((256, 144)), None] {
            let url = urls.picture(9_007_199_254_740_993, size);
            let (path, query) = split(&url);
            assert_eq!(parse(path, query, 1_000), Ok((9_007_199_254_740_993, size)));
            assert_eq!(parse(path, query, 1_001), Err("URL signature expired"));
            for (from, to) in [("oe=3E8", "oe=3E9"), ("s256x", "s2048x"), ("oh=00_AQ", "oh=00_AR")] {
                let edited = query.replace(from, to);
                assert!(edited == query || parse(path, &edited, 0).is_err(), "{edited}");
            }
            assert!(parse(&path.replace("/An", "/AnA"), query, 0).is_err());
            assert_eq!(url, urls.picture(9_007_199_254_740_993, size));
        }
    }
}
