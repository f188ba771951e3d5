//! Addresses of pictures: a pure function of the image, signed, with an end.

use super::town::mix;

/// Where the image host is, and when its addresses end (Unix seconds).
#[derive(Debug, Clone)]
pub(super) struct Links {
    pub(super) base: String,
    pub(super) expiry: u32,
}

/// What a good address asks for: the image's number, and the size unless it is the original.
pub(super) type Wanted = (u64, Option<(u32, u32)>);

const MASK: u64 = 0x5A17_C0DE_0B5C_2E91;

impl Links {
    /// The address of a picture of this size; none means the original.
    pub(super) fn picture(&self, image: u64, size: Option<(u32, u32)>) -> String {
        let stp = size.map(|(width, height)| format!("stp=s{width}x{height}&")).unwrap_or_default();
        format!(
            "{}/m1/v/t6/{}?{stp}edm=AOnQwmMEAAAA&_nc_gid={}&_nc_oc=Adk{}{}&ccb=10-5&oh=00_{}&oe={:X}&_nc_sid=201bca",
            self.base,
            blob(image),
            letters(mix(image, 1)),
            letters(mix(image, 2)),
            letters(mix(image, 3)),
            signature(image, size, self.expiry),
            self.expiry,
        )
    }

    /// The address of a mesh or cluster, which the sandbox does not serve.
    pub(super) fn other(&self, number: u64) -> String {
        let (oh, oe) = (signature(number, None, 0), self.expiry);
        format!("{}/m1/v/t6/{}?ccb=10-5&oh=00_{oh}&oe={oe:X}&_nc_sid=201bca", self.base, blob(number))
    }
}

/// Reads an address back; an edited or expired one is refused in the words of the real host.
pub(super) fn read(path: &str, query: &str, now: u64) -> Result<Wanted, &'static str> {
    const MISMATCH: &str = "URL signature mismatch";
    let param = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let image = path.strip_prefix("/m1/v/t6/").and_then(image_of).ok_or(MISMATCH)?;
    let expiry = param("oe").and_then(|hex| u32::from_str_radix(hex, 16).ok()).ok_or(MISMATCH)?;
    let size = match param("stp") {
        Some(stp) => Some(size_of(stp).ok_or(MISMATCH)?),
        None => None,
    };
    if param("oh").and_then(|oh| oh.strip_prefix("00_")) != Some(&signature(image, size, expiry)) {
        return Err(MISMATCH);
    }
    if u64::from(expiry) < now { Err("URL signature expired") } else { Ok((image, size)) }
}

fn size_of(stp: &str) -> Option<(u32, u32)> {
    let (width, height) = stp.strip_prefix('s')?.split_once('x')?;
    Some((width.parse().ok()?, height.parse().ok()?))
}

/// The last part of the path. All sizes of an image share it.
fn blob(image: u64) -> String {
    let filler: String = (10..17).map(|what| letters(mix(image, what))).collect();
    format!("An{}{filler}", letters(image ^ MASK))
}

fn image_of(blob: &str) -> Option<u64> {
    let text = blob.strip_prefix("An")?.get(..11)?;
    let mut number = 0_u64;
    for (place, letter) in text.bytes().enumerate() {
        let digit = LETTERS.iter().position(|known| *known == letter)? as u64;
        number |= digit << (6 * place);
    }
    let image = number ^ MASK;
    (self::blob(image) == blob).then_some(image)
}

fn signature(image: u64, size: Option<(u32, u32)>, expiry: u32) -> String {
    let (width, height) = size.unwrap_or_default();
    let signed = mix(mix(image ^ MASK, u64::from(width) << 32 | u64::from(height)), u64::from(expiry));
    format!("AQ{}{}", letters(signed), letters(mix(signed, 1)))
}

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// 64 bits as 11 letters.
pub(super) fn letters(number: u64) -> String {
    (0..11).map(|place| char::from(LETTERS[(number >> (6 * place) & 63) as usize])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(url: &str) -> (&str, &str) {
        url.strip_prefix("http://i").and_then(|rest| rest.split_once('?')).expect("a path and a query")
    }

    #[test]
    fn an_address_is_read_back_until_it_is_edited_or_ends() {
        let links = Links { base: "http://i".to_owned(), expiry: 1_000 };
        for size in [Some((256, 144)), None] {
            let url = links.picture(9_007_199_254_740_993, size);
            let (path, query) = split(&url);
            assert_eq!(read(path, query, 1_000), Ok((9_007_199_254_740_993, size)));
            assert_eq!(read(path, query, 1_001), Err("URL signature expired"));
            for (from, to) in [("oe=3E8", "oe=3E9"), ("s256x", "s2048x"), ("oh=00_AQ", "oh=00_AR")] {
                let edited = query.replace(from, to);
                assert!(edited == query || read(path, &edited, 0).is_err(), "{edited}");
            }
            assert!(read(&path.replace("/An", "/AnA"), query, 0).is_err());
            assert_eq!(url, links.picture(9_007_199_254_740_993, size));
        }
    }
}
