//! Masks access tokens in text from servers.

/// Stands for a token that was removed.
pub(crate) const MASK: &str = "[token]";

/// Replaces each access token in a text with `[token]`, also where it is percent-encoded once or twice.
///
/// Servers repeat the token: the login redirect of the tile host holds the URL of the request, percent-encoded.
pub fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((at, len)) = find_secret(rest) {
        out.push_str(&rest[..at]);
        out.push_str(MASK);
        rest = &rest[at + len..];
    }
    out.push_str(rest);
    out
}

/// Returns the start and the length of the first token.
fn find_secret(text: &str) -> Option<(usize, usize)> {
    let parameter = text.match_indices("access_token").find_map(|(at, name)| {
        let begin = at + name.len() + separator(&text[at + name.len()..], &["=", "%3D", "%253D"])?;
        Some((begin, value_len(&text[begin..]))).filter(|(_, len)| *len > 0)
    });
    let bare = text.match_indices("MLY").find_map(|(at, name)| {
        separator(&text[at + name.len()..], &["|", "%7C", "%257C"])?;
        Some((at, value_len(&text[at..])))
    });
    [parameter, bare].into_iter().flatten().min()
}

fn separator(text: &str, separators: &[&str]) -> Option<usize> {
    let begins = |s: &&&str| text.get(..s.len()).is_some_and(|head| head.eq_ignore_ascii_case(s));
    separators.iter().find(begins).map(|s| s.len())
}

/// Returns the length of a token, which ends at white space, a quote or the next query parameter.
///
/// It may include text after the token: to cut too much is safer than to leave a second token without the name that
/// marks it.
fn value_len(text: &str) -> usize {
    let ends = |c: char| c.is_whitespace() || c.is_control() || "&\"'`<>".contains(c);
    text.find(ends).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_the_token_is_masked() {
        let token = &format!("MLY|1234567890123456|{}", "0123456789abcdef".repeat(2));
        let once = token.replace('|', "%7C");
        let twice = once.replace('%', "%25");
        for form in [token, &once, &twice] {
            for text in [
                format!("see https://x/?access_token={form}&a=b"),
                format!("/login/?next=https%3A%2F%2Fx%3Faccess_token%3D{form}"),
                format!("got {form}, twice: {form}."),
            ] {
                let clean = redact(&text);
                assert!(!clean.contains("0123456789abcdef"), "{clean}");
                assert!(clean.contains(MASK));
            }
        }
        assert_eq!(
            redact("nothing to hide, access_token is a word"),
            "nothing to hide, access_token is a word"
        );
    }

    #[test]
    fn a_token_after_another_token_name_is_masked() {
        for text in [
            "access_token=MLaccess_token=0123456789abcdef",
            "access_token=&access_token=0123456789abcdef",
            "MLY|1access_token=0123456789abcdef",
            "access_token=MLY|1|ab/0123456789abcdef",
        ] {
            let clean = redact(text);
            assert!(!clean.contains("0123456789abcdef"), "{text} became {clean}");
            assert_eq!(redact(&clean), clean);
        }
    }
}
