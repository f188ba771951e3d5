//! The HTML of a page.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use serde_json::json;

use super::base64;
use super::basemap::Basemap;
use super::columns::Block;
use super::images::MapImages;
use crate::atomic_file::output_error;
use crate::error::{Error, ErrorKind, Result};
use crate::model::shown_line;
use crate::record::GeometryChoice;
use crate::storage::{Destination, LocalFile};

/// The text that begins a page.
pub const PAGE_MARK: &str = "<!doctype html><!-- streetflow map -->";

/// Longest title, in characters.
const MAX_TITLE_LEN: usize = 120;

const TEMPLATE: &str = include_str!("../../map/page/index.html");
const STYLE: &str = include_str!("../../map/page/style.css");

/// The modules of the page, each after those that it imports.
const MODULES: [&str; 18] = [
    include_str!("../../map/page/blocks.js"),
    include_str!("../../map/page/columns.js"),
    include_str!("../../map/page/text.js"),
    include_str!("../../map/page/colours.js"),
    include_str!("../../map/page/filters.js"),
    include_str!("../../map/page/shaders.js"),
    include_str!("../../map/page/points.js"),
    include_str!("../../map/page/lines.js"),
    include_str!("../../map/page/picking.js"),
    include_str!("../../map/page/histogram.js"),
    include_str!("../../map/page/legend.js"),
    include_str!("../../map/page/overlays.js"),
    include_str!("../../map/page/panel.js"),
    include_str!("../../map/page/card.js"),
    include_str!("../../map/page/address.js"),
    include_str!("../../map/page/basemap.js"),
    include_str!("../../map/page/live.js"),
    include_str!("../../map/page/main.js"),
];

/// The map library `MapLibre GL JS`, compressed. `map/vendor/source.json` has its version and checksum,
/// `map/vendor/LICENSE.txt` its licence.
const LIBRARY: [(&str, &[u8]); 3] = [
    ("library", include_bytes!("../../map/vendor/maplibre-gl.mjs.zlib")),
    ("library_worker", include_bytes!("../../map/vendor/maplibre-gl-worker.mjs.zlib")),
    ("library_style", include_bytes!("../../map/vendor/maplibre-gl.css.zlib")),
];

/// Settings of a page.
#[derive(Debug, Clone, Default)]
pub struct MapOptions {
    /// Title of the page, such as the name of the table.
    pub title: String,
    /// Coordinates of an image.
    pub geometry: GeometryChoice,
    /// Leaves out the ids of images and sequences, which are half of the page. Then it has no links and no pictures.
    pub without_ids: bool,
    /// Background map. The page loads nothing from it before the reader switches it on.
    pub basemap: Option<Basemap>,
}

/// Where a page that comes from a server gets its pictures and images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Served {
    /// The server can fetch the pictures that are not on the disk.
    pub has_all_pictures: bool,
    /// The images grow: the page asks `state` for their number, and loads [`Page::bundle`] from `images` when it changes.
    pub is_growing: bool,
}

/// A page, ready to be written.
#[derive(Debug, Clone)]
pub struct Page {
    title: String,
    /// Where the background comes from.
    origin: Option<String>,
    blocks: Vec<Block>,
}

impl Page {
    /// Encodes the images.
    pub fn new(images: &MapImages, options: &MapOptions) -> Result<Self> {
        let title = shown_line(&options.title, MAX_TITLE_LEN).unwrap_or_else(|| "images".to_owned());
        let extra = json!({ "title": title, "basemap": options.basemap.as_ref().map(Basemap::json) });
        let encoded = images.encode(!options.without_ids, &extra);
        let blocks =
            encoded.map_err(|error| Error::new(ErrorKind::Io, "encode the page").with_source(error))?;
        Ok(Self {
            title,
            origin: options.basemap.as_ref().map(|basemap| basemap.origin().to_owned()),
            blocks,
        })
    }

    /// Writes the page.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.write_html(out, None)
    }

    /// The HTML of a page that loads its blocks from `columns/<name>` of its server, and pictures from `picture/<id>`.
    pub fn served_html(&self, served: Served) -> Result<Vec<u8>> {
        let mut html = Vec::new();
        let written = self.write_html(&mut html, Some(served));
        written.map_err(|error| Error::new(ErrorKind::Io, "encode the page").with_source(error))?;
        Ok(html)
    }

    /// The blocks by name: the map library and the columns, each a zlib stream.
    pub fn blocks(&self) -> impl Iterator<Item = (&str, &[u8])> {
        LIBRARY.into_iter().chain(self.blocks.iter().map(|block| (block.name, block.bytes.as_slice())))
    }

    /// The columns of one moment, for a page that grows: for each block the length of its name (one byte), the name, the
    /// length of the block (four bytes, the lowest first), and the block.
    pub fn bundle(&self) -> Vec<u8> {
        let mut bundle = Vec::with_capacity(self.blocks.iter().map(|block| block.bytes.len() + 32).sum());
        for Block { name, bytes } in &self.blocks {
            bundle.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
            bundle.extend(name.as_bytes());
            bundle.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
            bundle.extend(bytes);
        }
        bundle
    }

    /// `served` is set for a page whose blocks come from a server.
    fn write_html(&self, out: &mut dyn Write, served: Option<Served>) -> io::Result<()> {
        let nonce = nonce();
        let mut rest = TEMPLATE;
        out.write_all(PAGE_MARK.as_bytes())?;
        while let Some((before, after)) = rest.split_once("{{") {
            out.write_all(before.as_bytes())?;
            let (name, after) =
                after.split_once("}}").ok_or_else(|| io::Error::other("an open placeholder"))?;
            rest = after;
            match name {
                "title" => out.write_all(escaped(&self.title).as_bytes())?,
                "policy" => {
                    out.write_all(policy(&nonce, self.origin.as_deref(), served.is_some()).as_bytes())?;
                }
                "nonce" => out.write_all(nonce.as_bytes())?,
                "version" => out.write_all(env!("CARGO_PKG_VERSION").as_bytes())?,
                "style" => out.write_all(STYLE.as_bytes())?,
                "script" => out.write_all(script().as_bytes())?,
                "pictures" => out.write_all(match served {
                    None => b"beside",
                    Some(Served { has_all_pictures: false, .. }) => b"served",
                    Some(Served { has_all_pictures: true, .. }) => b"all",
                })?,
                "growing" if served.is_some_and(|served| served.is_growing) => {
                    out.write_all(b"data-growing")?;
                }
                "growing" => {}
                "blocks" if served.is_some() => {}
                "blocks" => self.write_blocks(out)?,
                _ => return Err(io::Error::other("an unknown placeholder")),
            }
        }
        out.write_all(rest.as_bytes())
    }

    /// Writes the page to a file, which appears when it is complete. Returns its size in bytes.
    pub fn write_file(&self, path: &Path) -> Result<u64> {
        self.write_to(&LocalFile::new(path))
    }

    /// Writes the page to a [destination](crate::storage), which may be in a bucket. Returns its size in bytes.
    ///
    /// It blocks. The destination appears when it is complete.
    pub fn write_to(&self, destination: &dyn Destination) -> Result<u64> {
        let failed = |error| output_error("write the page", destination.path(), error);
        let mut file = destination.create().map_err(failed)?;
        let mut out = Counted { out: io::BufWriter::with_capacity(1 << 16, &mut file), bytes: 0 };
        self.write(&mut out).and_then(|()| out.flush()).map_err(failed)?;
        let bytes = out.bytes;
        drop(out);
        file.commit().map_err(failed)?;
        Ok(bytes)
    }

    fn write_blocks(&self, out: &mut dyn Write) -> io::Result<()> {
        for (name, bytes) in self.blocks() {
            write!(out, "<script type=\"application/octet-stream\" id=\"block-{name}\">")?;
            base64::write(out, bytes)?;
            out.write_all(b"</script>\n")?;
        }
        Ok(())
    }
}

/// A writer that counts its bytes.
struct Counted<W> {
    out: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Whether a file is a page that [`Page::write`] wrote.
pub fn is_page(path: &Path) -> io::Result<bool> {
    use std::io::Read as _;
    let mut start = Vec::new();
    std::fs::File::open(path)?.take(PAGE_MARK.len() as u64).read_to_end(&mut start)?;
    Ok(start == PAGE_MARK.as_bytes())
}

/// The content security policy: the page runs only its own script, and loads nothing but pictures beside it.
///
/// `origin` is that of the background, which a switch loads. A click can load the viewer of Mapillary.
fn policy(nonce: &str, origin: Option<&str>, is_served: bool) -> String {
    let origin = origin.unwrap_or_default();
    // MapLibre turns the URL of its worker into a `data:` URL if the page is a file. `'self'` does not include
    // pictures beside such a page.
    let (own, pictures) = if is_served { ("'self'", "") } else { ("", "file:") };
    format!(
        "default-src 'none'; script-src 'nonce-{nonce}' blob:; style-src 'unsafe-inline'; worker-src blob: data:; \
         connect-src blob: {own} {origin}; img-src 'self' {pictures} blob: data: {origin}; \
         frame-src https://www.mapillary.com; base-uri 'none'; form-action 'none'"
    )
}

/// A random value that only the script of this page has.
fn nonce() -> String {
    (0..22).map(|_| fastrand::alphanumeric()).collect()
}

/// Joins the modules to one script. Names are unique among them, so that imports are not necessary.
fn script() -> String {
    let lines = MODULES.iter().flat_map(|module| module.lines());
    let mut script = String::new();
    for line in lines.filter(|line| !line.starts_with("import ")) {
        let line = line.strip_prefix("export ").unwrap_or(line);
        writeln!(script, "{line}").ok(); // A string takes everything.
    }
    script
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_ends_no_element_and_imports_nothing() {
        let script = script();
        assert!(!script.contains("</") && !script.contains("<!--"), "it would end the element");
        assert!(!script.lines().any(|line| line.starts_with("import ") || line.starts_with("export ")));
    }

    #[test]
    fn the_modules_have_no_name_in_common() {
        let script = script();
        let names = script.lines().filter_map(|line| {
            let rest = ["const ", "let ", "function ", "async function ", "class "]
                .iter()
                .find_map(|keyword| line.strip_prefix(keyword))?;
            rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()
        });
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        let twice: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).collect();
        assert!(names.len() > 30 && twice.is_empty(), "{twice:?}");
    }

    #[test]
    fn the_library_is_the_one_in_the_lock() {
        let read = |name: &str| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("map").join(name);
            std::fs::read_to_string(path).expect(name)
        };
        let json = |name| serde_json::from_str::<serde_json::Value>(&read(name)).expect(name);
        let (lock, source) = (json("package-lock.json"), json("vendor/source.json"));
        let locked = &lock["packages"]["node_modules/maplibre-gl"];
        for key in ["version", "integrity"] {
            assert_eq!(source[key], locked[key], "run `npm ci && npm run vendor` in `map/`");
        }
        assert!(read("vendor/LICENSE.txt").contains("MapLibre contributors"));
    }

    #[test]
    fn a_title_is_escaped() {
        assert_eq!(escaped("</title><b a=\"&\">"), "&lt;/title>&lt;b a=&quot;&amp;&quot;>");
    }
}
