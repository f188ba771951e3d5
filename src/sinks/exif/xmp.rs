//! Metadata as an XMP packet, which also marks panoramas.
//!
//! An existing packet is extended, because a picture may have only one. Its values stay, except for coordinates and
//! time, which come from the record as in EXIF.

use std::fmt::Write as _;
use std::ops::Range;

use roxmltree::{Document, Node};

use super::PictureMetadata;

const RDF: &str = "http://www.w3.org/1999/02/22-rdf-syntax-ns#";
const GPANO: &str = "http://ns.google.com/photos/1.0/panorama/";

/// Prefixes and namespaces of the properties that are written.
const NAMESPACES: [(&str, &str); 5] = [
    ("dc", "http://purl.org/dc/elements/1.1/"),
    ("exif", "http://ns.adobe.com/exif/1.0/"),
    ("tiff", "http://ns.adobe.com/tiff/1.0/"),
    ("xmpRights", "http://ns.adobe.com/xap/1.0/rights/"),
    ("cc", "http://creativecommons.org/ns#"),
];

const LICENCE: &str = "https://creativecommons.org/licenses/by-sa/4.0/";

/// The end of a packet, after the padding that some writers leave for later changes.
const PACKET_END: &str = "<?xpacket end";

/// A property to write.
struct Property {
    /// The name with its prefix, one of [`NAMESPACES`].
    name: &'static str,
    /// The element.
    xml: String,
    /// The value, if it is plain text.
    value: Option<String>,
    /// Whether it replaces an existing value.
    replaces: bool,
}

impl Property {
    fn namespace(&self) -> &'static str {
        let prefix = self.name.split(':').next().unwrap_or_default();
        NAMESPACES.iter().find(|(name, _)| *name == prefix).map_or("", |(_, uri)| uri)
    }

    fn local_name(&self) -> &'static str {
        self.name.split(':').next_back().unwrap_or_default()
    }
}

/// Creates a packet for a picture with this frame size.
pub(super) fn packet(metadata: &PictureMetadata, frame: Option<(u32, u32)>) -> Vec<u8> {
    let mut text = String::from(
        "<?xpacket begin=\"\u{feff}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n\
         <x:xmpmeta xmlns:x=\"adobe:ns:meta/\">\n\
         <rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\n",
    );
    let properties = properties(metadata);
    text.push_str(&description("", properties.iter().map(|property| property.xml.as_str())));
    text.extend(panorama("", metadata, frame));
    text.push_str("</rdf:RDF>\n</x:xmpmeta>\n<?xpacket end=\"w\"?>");
    text.into_bytes()
}

/// What is written into an existing packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// All properties.
    All,
    /// Nothing; conflicting values are removed.
    Corrections,
}

/// Merges the metadata into an existing packet; `None` if it can't be parsed.
///
/// Removes the padding if the packet is longer than `room` bytes.
pub(super) fn merged(
    found: &[u8],
    metadata: &PictureMetadata,
    frame: Option<(u32, u32)>,
    extent: Extent,
    room: usize,
) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(found).ok()?.trim_end_matches('\0');
    let document = Document::parse(text).ok()?;
    let rdf = document.descendants().find(|node| node.has_tag_name((RDF, "RDF")))?;
    let descriptions: Vec<Node<'_, '_>> =
        rdf.children().filter(|node| node.has_tag_name((RDF, "Description"))).collect();
    let (mut cuts, mut added) = (Vec::new(), Vec::new());
    for property in properties(metadata) {
        let there = occurrences(&descriptions, &property);
        let is_same = matches!(&there[..], [only] if Some(&only.value) == property.value.as_ref());
        let stays = if property.replaces { is_same } else { there.iter().any(|it| it.has_value) };
        if !stays {
            cuts.extend(there.into_iter().map(|occurrence| occurrence.range));
            added.push(property.xml);
        }
    }
    added.retain(|xml| !xml.is_empty() && extent == Extent::All);
    let about = descriptions.iter().find_map(|node| node.attribute((RDF, "about"))).unwrap_or_default();
    let mut addition = String::new();
    if !added.is_empty() {
        addition.push_str(&description(about, added.iter().map(String::as_str)));
    }
    if extent == Extent::All && !descriptions.iter().any(is_about_panoramas) {
        addition.extend(panorama(about, metadata, frame));
    }
    let end = rdf.range().start + text[rdf.range()].rfind("</")?;
    cuts.push(end..end);
    cuts.sort_by_key(|cut| cut.start);
    let (mut result, mut from) = (String::with_capacity(text.len() + addition.len()), 0);
    for cut in cuts {
        // Elements do not overlap, but one may be inside another that is also removed.
        result.push_str(text.get(from..cut.start).unwrap_or_default());
        if cut == (end..end) {
            result.push_str(&addition);
        }
        from = from.max(cut.end);
    }
    result.push_str(&text[from..]);
    if result.len() > room {
        let end = result.rfind(PACKET_END).unwrap_or(result.len());
        let padding = result[..end].trim_end().len();
        result.replace_range(padding..end, "");
    }
    Some(result.into_bytes())
}

/// An existing property.
struct Occurrence {
    range: Range<usize>,
    value: String,
    has_value: bool,
}

/// Finds a property of a packet: as an attribute or an element of a description.
fn occurrences(descriptions: &[Node<'_, '_>], property: &Property) -> Vec<Occurrence> {
    let (namespace, name) = (property.namespace(), property.local_name());
    let mut found = Vec::new();
    for description in descriptions {
        for attribute in description.attributes() {
            if attribute.namespace() == Some(namespace) && attribute.name() == name {
                let value = attribute.value().trim().to_owned();
                let has_value = !value.is_empty();
                found.push(Occurrence { range: attribute.range(), value, has_value });
            }
        }
        for element in description.children().filter(|node| node.has_tag_name((namespace, name))) {
            // `Node::text` of an element is the text of its first child.
            let texts = element.descendants().filter(Node::is_text);
            let value: String = texts.filter_map(|node| node.text()).collect();
            let value = value.trim().to_owned();
            let has_value = !value.is_empty() || element.attribute((RDF, "resource")).is_some();
            found.push(Occurrence { range: element.range(), value, has_value });
        }
    }
    found
}

fn is_about_panoramas(description: &Node<'_, '_>) -> bool {
    description.attributes().any(|attribute| attribute.namespace() == Some(GPANO))
        || description.children().any(|node| node.tag_name().namespace() == Some(GPANO))
}

/// A description with these elements.
fn description<'a>(about: &str, elements: impl Iterator<Item = &'a str>) -> String {
    let mut text = format!("<rdf:Description rdf:about=\"{}\" xmlns:rdf=\"{RDF}\"", escaped(about));
    for (prefix, uri) in NAMESPACES {
        write!(text, " xmlns:{prefix}=\"{uri}\"").unwrap_or_default();
    }
    text.push_str(">\n");
    text.extend(elements);
    text.push_str("</rdf:Description>\n");
    text
}

fn properties(metadata: &PictureMetadata) -> Vec<Property> {
    let mut found = Vec::new();
    // Coordinates and time come from the record, as in EXIF. Existing values of the author stay.
    let mut line = |name: &'static str, value: &str, replaces: bool| {
        let xml = format!("<{name}>{}</{name}>\n", escaped(value));
        found.push(Property { name, xml, value: Some(value.to_owned()), replaces });
    };
    line("dc:identifier", &metadata.image, false);
    line("dc:source", &metadata.page, false);
    line("xmpRights:Marked", "True", false);
    line("xmpRights:WebStatement", LICENCE, false);
    line("cc:attributionName", &metadata.attribution, false);
    if let Some(moment) = metadata.moment {
        let ((year, month, day), (hour, minute, milliseconds)) = (moment.date(), moment.time());
        let (second, fraction) = (milliseconds / 1000, milliseconds % 1000);
        let time = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:03}Z");
        line("exif:DateTimeOriginal", &time, true);
        if metadata.coordinates.is_some() {
            line("exif:GPSTimeStamp", &time, true);
        }
    }
    if let Some(coordinates) = metadata.coordinates {
        line("exif:GPSLatitude", &arc(coordinates.lat, ['S', 'N']), true);
        line("exif:GPSLongitude", &arc(coordinates.lon, ['W', 'E']), true);
        line("exif:GPSMapDatum", "WGS-84", true);
    }
    if let Some(altitude) = metadata.altitude {
        line("exif:GPSAltitudeRef", if altitude < 0.0 { "1" } else { "0" }, true);
        line("exif:GPSAltitude", &format!("{:.0}/1000", altitude.abs() * 1000.0), true);
    }
    if let Some(heading) = metadata.heading {
        line("exif:GPSImgDirectionRef", "T", true);
        line("exif:GPSImgDirection", &format!("{:.0}/1000000", heading * 1e6), true);
    }
    for (name, value) in [("tiff:Make", &metadata.make), ("tiff:Model", &metadata.model)] {
        if let Some(value) = value {
            line(name, value, false);
        }
    }
    for (name, resource) in [("cc:license", LICENCE), ("cc:attributionURL", &metadata.page)] {
        let xml = format!("<{name} rdf:resource=\"{}\"/>\n", escaped(resource));
        found.push(Property { name, xml, value: None, replaces: false });
    }
    let mut list = |name: &'static str, kind: &str, language: &str, value: &str| {
        let item = format!("<rdf:{kind}><rdf:li{language}>{}</rdf:li></rdf:{kind}>", escaped(value));
        let xml = format!("<{name}>{item}</{name}>\n");
        found.push(Property { name, xml, value: None, replaces: false });
    };
    list("dc:description", "Alt", " xml:lang=\"x-default\"", &metadata.description());
    list("dc:rights", "Alt", " xml:lang=\"x-default\"", &metadata.attribution);
    if let Some(author) = &metadata.author {
        list("dc:creator", "Seq", "", author);
    }
    if let Some(sequence) = &metadata.sequence {
        list("dc:relation", "Bag", "", sequence);
    }
    found
}

/// The properties that viewers need for a full sphere. Mapillary's panoramas are not cropped.
fn panorama(about: &str, metadata: &PictureMetadata, frame: Option<(u32, u32)>) -> Option<String> {
    let (width, height) = frame.or(metadata.size).filter(|_| metadata.is_pano)?;
    let about = escaped(about);
    let mut text = format!(
        "<rdf:Description rdf:about=\"{about}\" xmlns:rdf=\"{RDF}\" xmlns:GPano=\"{GPANO}\">\n\
         <GPano:UsePanoramaViewer>True</GPano:UsePanoramaViewer>\n\
         <GPano:ProjectionType>equirectangular</GPano:ProjectionType>\n\
         <GPano:FullPanoWidthPixels>{width}</GPano:FullPanoWidthPixels>\n\
         <GPano:FullPanoHeightPixels>{height}</GPano:FullPanoHeightPixels>\n\
         <GPano:CroppedAreaImageWidthPixels>{width}</GPano:CroppedAreaImageWidthPixels>\n\
         <GPano:CroppedAreaImageHeightPixels>{height}</GPano:CroppedAreaImageHeightPixels>\n\
         <GPano:CroppedAreaLeftPixels>0</GPano:CroppedAreaLeftPixels>\n\
         <GPano:CroppedAreaTopPixels>0</GPano:CroppedAreaTopPixels>\n"
    );
    if let Some(heading) = metadata.heading {
        writeln!(text, "<GPano:PoseHeadingDegrees>{heading:.6}</GPano:PoseHeadingDegrees>")
            .unwrap_or_default();
    }
    text.push_str("</rdf:Description>\n");
    Some(text)
}

/// Degrees and minutes with nine decimals: `35,9.123456789N`.
fn arc(degrees: f64, [below, above]: [char; 2]) -> String {
    let side = if degrees.is_sign_negative() { below } else { above };
    // In whole units, so that minutes are never rounded up to 60.
    let parts = (degrees.abs() * 60e9).round();
    format!("{:.0},{:.9}{side}", (parts / 60e9).floor(), parts % 60e9 / 1e9)
}

/// Escapes text for XML. Control characters were removed before.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
