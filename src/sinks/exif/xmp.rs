//! The same in XMP, which also says that a picture is a panorama.
//!
//! A packet that is there stays as it is, for two must not be; where it says
//! nothing of panoramas, the lines about that are put into it.

use std::fmt::Write as _;

use super::Facts;

const NAMESPACES: &str = "xmlns:dc=\"http://purl.org/dc/elements/1.1/\" \
    xmlns:exif=\"http://ns.adobe.com/exif/1.0/\" xmlns:tiff=\"http://ns.adobe.com/tiff/1.0/\" \
    xmlns:xmpRights=\"http://ns.adobe.com/xap/1.0/rights/\" xmlns:cc=\"http://creativecommons.org/ns#\"";

const LICENCE: &str = "https://creativecommons.org/licenses/by-sa/4.0/";

const END: &str = "</rdf:RDF>";

/// A packet for a picture with a frame of so many pixels.
pub(super) fn packet(facts: &Facts, frame: Option<(u32, u32)>) -> Vec<u8> {
    let mut text = String::from(
        "<?xpacket begin=\"\u{feff}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n\
         <x:xmpmeta xmlns:x=\"adobe:ns:meta/\">\n\
         <rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\n",
    );
    write!(text, "<rdf:Description rdf:about=\"\" {NAMESPACES}>\n{}</rdf:Description>\n", properties(facts))
        .unwrap_or_default();
    text.extend(panorama(facts, frame));
    text.push_str(END);
    text.push_str("\n</x:xmpmeta>\n<?xpacket end=\"w\"?>");
    text.into_bytes()
}

/// A packet that was there, with what it lacks about panoramas; none if it lacks nothing or can't be added to.
pub(super) fn completed(found: &[u8], facts: &Facts, frame: Option<(u32, u32)>) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(found).ok().filter(|text| !text.contains("GPano"))?;
    let (before, after) = text.split_at(text.rfind(END)?);
    Some([before, &panorama(facts, frame)?, after].concat().into_bytes())
}

fn properties(facts: &Facts) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        writeln!(text, "<{name}>{}</{name}>", escaped(value)).unwrap_or_default();
    };
    line("dc:identifier", &facts.image);
    line("dc:source", &facts.page);
    line("xmpRights:Marked", "True");
    line("xmpRights:WebStatement", LICENCE);
    line("cc:attributionName", &facts.attribution);
    if let Some(moment) = facts.moment {
        let ((year, month, day), (hour, minute, milliseconds)) = (moment.date(), moment.time());
        let (second, fraction) = (milliseconds / 1000, milliseconds % 1000);
        let time = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:03}Z");
        line("exif:DateTimeOriginal", &time);
    }
    if let Some(place) = facts.place {
        line("exif:GPSLatitude", &arc(place.lat, ['S', 'N']));
        line("exif:GPSLongitude", &arc(place.lon, ['W', 'E']));
    }
    if let Some(altitude) = facts.altitude {
        line("exif:GPSAltitudeRef", if altitude < 0.0 { "1" } else { "0" });
        line("exif:GPSAltitude", &format!("{:.0}/1000", altitude.abs() * 1000.0));
    }
    if let Some(heading) = facts.heading {
        line("exif:GPSImgDirectionRef", "T");
        line("exif:GPSImgDirection", &format!("{:.0}/1000000", heading * 1e6));
    }
    for (name, value) in [("tiff:Make", &facts.make), ("tiff:Model", &facts.model)] {
        if let Some(value) = value {
            line(name, value);
        }
    }
    writeln!(
        text,
        "<cc:license rdf:resource=\"{LICENCE}\"/>\n<cc:attributionURL rdf:resource=\"{}\"/>",
        facts.page
    )
    .unwrap_or_default();
    let mut list = |name: &str, kind: &str, language: &str, value: &str| {
        let item = format!("<rdf:{kind}><rdf:li{language}>{}</rdf:li></rdf:{kind}>", escaped(value));
        writeln!(text, "<{name}>{item}</{name}>").unwrap_or_default();
    };
    list("dc:description", "Alt", " xml:lang=\"x-default\"", &facts.description());
    list("dc:rights", "Alt", " xml:lang=\"x-default\"", &facts.attribution);
    if let Some(author) = &facts.author {
        list("dc:creator", "Seq", "", author);
    }
    if let Some(sequence) = &facts.sequence {
        list("dc:relation", "Bag", "", sequence);
    }
    text
}

/// What viewers need to show a whole sphere; Mapillary's panoramas have no sides cut off.
fn panorama(facts: &Facts, frame: Option<(u32, u32)>) -> Option<String> {
    let (width, height) = frame.or(facts.size).filter(|_| facts.is_pano)?;
    let mut text = format!(
        "<rdf:Description rdf:about=\"\" xmlns:GPano=\"http://ns.google.com/photos/1.0/panorama/\">\n\
         <GPano:UsePanoramaViewer>True</GPano:UsePanoramaViewer>\n\
         <GPano:ProjectionType>equirectangular</GPano:ProjectionType>\n\
         <GPano:FullPanoWidthPixels>{width}</GPano:FullPanoWidthPixels>\n\
         <GPano:FullPanoHeightPixels>{height}</GPano:FullPanoHeightPixels>\n\
         <GPano:CroppedAreaImageWidthPixels>{width}</GPano:CroppedAreaImageWidthPixels>\n\
         <GPano:CroppedAreaImageHeightPixels>{height}</GPano:CroppedAreaImageHeightPixels>\n\
         <GPano:CroppedAreaLeftPixels>0</GPano:CroppedAreaLeftPixels>\n\
         <GPano:CroppedAreaTopPixels>0</GPano:CroppedAreaTopPixels>\n"
    );
    if let Some(heading) = facts.heading {
        writeln!(text, "<GPano:PoseHeadingDegrees>{heading:.6}</GPano:PoseHeadingDegrees>")
            .unwrap_or_default();
    }
    text.push_str("</rdf:Description>\n");
    Some(text)
}

/// Degrees, and minutes to the ninth digit: `35,9.123456789N`.
fn arc(degrees: f64, [below, above]: [char; 2]) -> String {
    let side = if degrees.is_sign_negative() { below } else { above };
    // In whole parts, so that no minute is rounded up to sixty.
    let parts = (degrees.abs() * 60e9).round();
    format!("{:.0},{:.9}{side}", (parts / 60e9).floor(), parts % 60e9 / 1e9)
}

/// Text that XML may hold; what it may not hold at all was taken out when the facts were made.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
