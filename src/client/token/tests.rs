use proptest::prelude::*;

use super::*;

/// Percent-encodes the bytes at the chosen positions.
fn encoded(text: &str, chosen: impl Fn(usize) -> bool) -> String {
    let one = |(at, byte): (usize, u8)| {
        if chosen(at) { format!("%{byte:02X}") } else { char::from(byte).to_string() }
    };
    text.bytes().enumerate().map(one).collect()
}

/// Writes the characters at the chosen positions as JSON escapes.
fn json_escaped(text: &str, chosen: impl Fn(usize) -> bool) -> String {
    let one = |(at, c): (usize, char)| match c {
        _ if chosen(at) => format!("\\u{:04x}", u32::from(c)),
        '"' | '\\' => format!("\\{c}"),
        c => c.to_string(),
    };
    text.chars().enumerate().map(one).collect()
}

proptest::proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_response_keeps_the_token_in_any_form(
        text in prop_oneof!["MLY\\|[0-9]{16}\\|[0-9a-f]{32}", "[!-~]{16,40}", "[!-~]{8,12}", "[0-9]{16}"]
            .prop_filter("rejected for its form", |text| Token::new(text).is_ok()),
        (once, twice, hidden) in (any::<u64>(), any::<u64>(), any::<u64>()),
        levels in 0..3_u8,
        around in "[a-z\u{e9}%=/ ]{0,8}",
    ) {
        let token = Token::new(&text).expect("a token");
        let bit = |bits: u64| move |at: usize| bits >> (at % 64) & 1 == 1;
        let mut form = text.clone();
        if levels > 0 { form = encoded(&form, bit(once)); }
        if levels > 1 { form = encoded(&form, bit(twice)); }
        let echo = format!("{around}{form}{around}{form}");
        // A percent sign before the token may form an escape with its first characters.
        if token.is_in(echo.as_bytes()) {
            let clean = token.redact(&echo);
            prop_assert!(!token.is_in(clean.as_bytes()), "{clean}");
            prop_assert!(clean.contains(MASK));
        } else {
            prop_assert!(around.contains('%') || text.contains('%'), "{echo}");
        }
        let json = format!(r#"{{"a{0}":["{0}",{{"b":1.5,"c":"{0}"}}]}}"#, json_escaped(&echo, bit(hidden)));
        let cut = token.redact_response(json.clone().into()).expect("small enough");
        let Json::Object(cut) = serde_json::from_slice(&cut).expect("JSON") else { panic!("{json}") };
        for (name, value) in cut {
            prop_assert!(!token.is_in(name.as_bytes()) && !token.is_in(unescape_json(value.to_string().as_bytes()).as_slice()));
        }
        let tile = [b"\x1a", text.as_bytes(), b"\xff", text.as_bytes()].concat();
        let clean = token.redact_tile(tile.clone().into());
        prop_assert_eq!(clean.len(), tile.len());
        prop_assert!(!token.is_in(&clean));
    }
}

#[test]
fn the_secret_is_found_at_any_position_of_a_large_response() {
    let secret = "0123456789abcdef";
    let token = Token::new(&format!("MLY|1234567890123456|{secret}")).expect("a token");
    let noise = "https://x/?a=%3D%2F%30%39%41%25&bc=".repeat(500);
    assert!(!token.is_in(noise.as_bytes()));
    let twice = |text: &str| encoded(&encoded(text, |_| true), |_| true);
    let last = format!("{}%2566", &secret[..15]);
    for form in [secret, &encoded(secret, |_| true), &twice(secret), &last, &encoded(secret, |at| at == 7)] {
        // The cuts are between two escapes, so no escape takes in the characters after it.
        for cut in [0, 5, 3411, noise.len()] {
            let text = format!("{}{form}{}", &noise[..cut], &noise[cut..]);
            assert!(token.is_in(text.as_bytes()), "{form} at {cut}");
        }
    }
}

#[test]
fn a_response_without_the_token_is_unchanged() {
    let text = format!("MLY|1234567890123456|{}", "0123456789abcdef".repeat(2));
    let token = Token::new(&text).expect("a token");
    for body in [r#"{ "a":"\u00e9%41%2541", "b":1.50 }"#, "<html>%zz%", ""] {
        assert_eq!(token.redact_response(Bytes::from(body)).expect("fine"), body);
    }
    assert_eq!(token.redact(&format!("see {text}!")), "see [token]!");
    assert!(token.redact_response(format!("{}{}", token.0, "x".repeat(5 << 20)).into()).is_err());
    let short = Token::new("ab").expect("a token");
    assert_eq!(short.redact("cabin"), "cabin", "a short text is not searched for");
}

#[test]
fn a_token_has_no_spaces_inside() {
    assert!(Token::new("").is_err());
    assert!(Token::new("MLY|1|a b").is_err());
    assert!(Token::new("\tMLY|1|ab\n").is_ok());
}
