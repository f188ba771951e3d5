//! Text without tokens.

const MASK: &str = "[token]";

/// Cuts tokens out of a text that came from a server, also percent-encoded once or twice.
///
/// The login redirect of the tile host repeats the request's URL with the token in it, encoded anew.
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

/// Where the first secret begins and how long it is.
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

/// A value ends where a query, a word or a quotation does: rather too much is cut than the name of another secret,
/// which would then stand there without what tells that it is one.
fn value_len(text: &str) -> usize {
    let ends = |c: char| c.is_whitespace() || c.is_control() || "&\"'`<>".contains(c);
    text.find(ends).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_form_of_the_token_survives() {
        let token = &format!("MLY|1234567890123456|{}", "0123456789abcdef".repeat(2));
        let once = token.replace('|', "%7C");
        let twice = once.replace('%', "%25");
        for form in [token, &once, &twice] {
            for text in [
                format!("see https://x/?access_token={form}&a=b"),
                format!("/login/?next=https%3A%2F%2Fx%3Faccess_token%3D{form}"),
                format!("said {form}, twice: {form}."),
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
    fn a_secret_is_found_behind_another_name_for_one() {
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
