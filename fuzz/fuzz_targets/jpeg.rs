//! JPEG check: the result does not depend on the chunks, and a truncated picture never passes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use streetflow::sinks::JpegCheck;

fuzz_target!(|input: (&[u8], &[u8])| {
    let (sizes, picture) = input;
    let mut whole = JpegCheck::default();
    whole.push(picture);
    let verdict = whole.finish();

    let (mut in_chunks, mut rest) = (JpegCheck::default(), picture);
    for size in sizes {
        let (chunk, after) = rest.split_at(rest.len().min(usize::from(*size)));
        in_chunks.push(chunk);
        rest = after;
    }
    in_chunks.push(rest);
    assert_eq!(in_chunks.finish(), verdict);

    // Byte by byte: no prefix passes before the end marker, and padding after it changes nothing.
    let mut bytewise = JpegCheck::default();
    assert!(bytewise.finish().is_err());
    let mut end = None;
    for (index, byte) in picture.iter().enumerate() {
        bytewise.push(&[*byte]);
        match (end, bytewise.finish()) {
            (None, Ok(())) => end = Some(index),
            (Some(_), Err(why)) => panic!("a complete picture is not complete any more: {why}"),
            _ => {}
        }
    }
    assert_eq!(bytewise.finish(), verdict);
    if let Some(end) = end {
        assert!(picture.starts_with(&[0xff, 0xd8]));
        assert_eq!(picture[end - 1..=end], [0xff, 0xd9]);
    }
});
