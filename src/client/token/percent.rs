//! Percent-decoding, to find a token in encoded text.

/// A percent-decoded text with the offset of each byte in the original text.
pub(crate) struct Decoded {
    pub(crate) bytes: Vec<u8>,
    /// The start of each byte in the original text, then the end of that text.
    pub(crate) offsets: Vec<usize>,
}

impl Decoded {
    pub(crate) fn from_text(text: &[u8]) -> Self {
        Self { bytes: text.to_vec(), offsets: (0..=text.len()).collect() }
    }

    /// Decodes the text once more.
    pub(crate) fn decode(&self) -> Self {
        let (mut bytes, mut offsets) = (Vec::new(), Vec::new());
        for (at, byte) in decoding(&self.bytes) {
            bytes.push(byte);
            offsets.push(self.offsets[at]);
        }
        offsets.extend(self.offsets.last());
        Self { bytes, offsets }
    }
}

/// Percent-decodes a text. Invalid escapes stay as they are.
pub(crate) fn percent_decode(text: &[u8]) -> Vec<u8> {
    decoding(text).map(|(_, byte)| byte).collect()
}

/// Yields the decoded bytes, each with its offset in the text.
fn decoding(text: &[u8]) -> impl Iterator<Item = (usize, u8)> {
    let mut next = 0;
    std::iter::from_fn(move || {
        let (at, byte) = (next, *text.get(next)?);
        let code = escape_at(text, at);
        next += if code.is_some() { 3 } else { 1 };
        Some((at, code.unwrap_or(byte)))
    })
}

/// Returns the byte that the escape `%XX` at an offset stands for.
fn escape_at(text: &[u8], at: usize) -> Option<u8> {
    let digit = |at: usize| char::from(*text.get(at)?).to_digit(16);
    let code = (*text.get(at)? == b'%').then(|| Some(digit(at + 1)? * 16 + digit(at + 2)?))??;
    u8::try_from(code).ok()
}

/// Returns the parts of a text that may contain the secret percent-encoded.
///
/// An encoded secret has an escape for one of its own characters, or for a character of a second escape: `%` or a
/// hexadecimal digit. Most URLs escape only separators, so most responses have no such part. The text around each part
/// is longer than the secret and has no `%`, so no part ends inside a secret.
pub(crate) fn encoded_candidates<'a>(text: &'a [u8], secret: &str) -> impl Iterator<Item = &'a [u8]> {
    let mut relevant = [false; 256];
    secret.bytes().chain(*b"%0123456789abcdefABCDEF").for_each(|byte| relevant[usize::from(byte)] = true);
    let is_relevant = move |at: usize| escape_at(text, at).is_some_and(|code| relevant[usize::from(code)]);
    let reach = secret.len() + 5;
    let mut signs = memchr::memchr_iter(b'%', text).peekable();
    std::iter::from_fn(move || {
        loop {
            let first = signs.next()?;
            let (mut last, mut is_candidate) = (first, is_relevant(first));
            while let Some(next) = signs.next_if(|next| next - last <= 2 * reach) {
                last = next;
                is_candidate |= is_relevant(next);
            }
            if is_candidate {
                return Some(&text[first.saturating_sub(reach)..(last + reach).min(text.len())]);
            }
        }
    })
}
