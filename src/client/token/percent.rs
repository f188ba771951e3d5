//! Percent-encoding, undone: where a token may hide in a text.

/// A text as it is after percent-decoding, and where each of its bytes began before that.
pub(crate) struct Decoded {
    pub(crate) bytes: Vec<u8>,
    /// One more than there are bytes.
    pub(crate) begins: Vec<usize>,
}

impl Decoded {
    pub(crate) fn of(text: &[u8]) -> Self {
        Self { bytes: text.to_vec(), begins: (0..=text.len()).collect() }
    }

    pub(crate) fn decode(&self) -> Self {
        let (mut bytes, mut begins) = (Vec::new(), Vec::new());
        for (at, byte) in decoding(&self.bytes) {
            bytes.push(byte);
            begins.push(self.begins[at]);
        }
        begins.extend(self.begins.last());
        Self { bytes, begins }
    }
}

pub(crate) fn decoded(text: &[u8]) -> Vec<u8> {
    decoding(text).map(|(_, byte)| byte).collect()
}

/// The bytes after percent-decoding, each with its place before that.
fn decoding(text: &[u8]) -> impl Iterator<Item = (usize, u8)> {
    let mut next = 0;
    std::iter::from_fn(move || {
        let (at, byte) = (next, *text.get(next)?);
        let code = escape_at(text, at);
        next += if code.is_some() { 3 } else { 1 };
        Some((at, code.unwrap_or(byte)))
    })
}

/// What `%` and two hexadecimal digits at a place stand for.
fn escape_at(text: &[u8], at: usize) -> Option<u8> {
    let digit = |at: usize| char::from(*text.get(at)?).to_digit(16);
    let code = (*text.get(at)? == b'%').then(|| Some(digit(at + 1)? * 16 + digit(at + 2)?))??;
    u8::try_from(code).ok()
}

/// The parts of a text that can hold the secret percent-encoded.
///
/// Every such form has an escape that stands for a character of the secret, or for one of a second escape: `%` or a
/// digit. URLs escape what separates and is in no secret, so an answer of a megabyte mostly has no such part. A part
/// begins and ends in more text without `%` than a secret is long, so that no cut goes through one.
pub(crate) fn hiding_places<'a>(text: &'a [u8], secret: &str) -> impl Iterator<Item = &'a [u8]> {
    let mut tells = [false; 256];
    secret.bytes().chain(*b"%0123456789abcdefABCDEF").for_each(|byte| tells[usize::from(byte)] = true);
    let telling = move |at: usize| escape_at(text, at).is_some_and(|code| tells[usize::from(code)]);
    let reach = secret.len() + 5;
    let mut signs = memchr::memchr_iter(b'%', text).peekable();
    std::iter::from_fn(move || {
        loop {
            let first = signs.next()?;
            let (mut last, mut may_hide) = (first, telling(first));
            while let Some(next) = signs.next_if(|next| next - last <= 2 * reach) {
                last = next;
                may_hide |= telling(next);
            }
            if may_hide {
                return Some(&text[first.saturating_sub(reach)..(last + reach).min(text.len())]);
            }
        }
    })
}
