//! Writes seeds of every target into `corpus/`: responses of the mock server, and tables made of them.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;

use futures::{StreamExt, TryStreamExt};
use streetflow::client::Tileset;
use streetflow::model::DERIVED_FROM;
use streetflow::sinks::{Layout, encoder_for};
use streetflow::{
    Bbox, Client, FeatureSource, Fields, Format, GeometryChoice, Image, ImageId, LonLat, MapFeature,
    Metadata, OwnerId, Record, Sequence, SequenceId, Source, TileId, Token,
};
use streetflow_sandbox::Sandbox;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn seed(target: &str, name: &str, selector: Option<u8>, bytes: &[u8]) -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), [selector.as_slice(), bytes].concat())
}

/// Sends an HTTP/1.0 request and returns the body of the response.
fn get(url: &str) -> Result<Vec<u8>> {
    let (host, path) = url.trim_start_matches("http://").split_once('/').unwrap_or((url, ""));
    let mut stream = TcpStream::connect(host)?;
    let token = Sandbox::TOKEN;
    write!(stream, "GET /{path} HTTP/1.0\r\nHost: {host}\r\nAuthorization: OAuth {token}\r\n\r\n")?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response)?;
    let end = response.windows(4).position(|four| four == b"\r\n\r\n").ok_or("a response without headers")?;
    Ok(response.split_off(end + 4))
}

fn encoded<T: Record>(format: Format, layout: &Layout, records: &[T]) -> Result<Vec<u8>> {
    let path = std::env::temp_dir().join(format!("streetflow-seed-{}", std::process::id()));
    let mut encoder = encoder_for(Box::new(fs::File::create(&path)?), format, layout)?;
    encoder.encode(records)?;
    encoder.finish()?;
    let bytes = fs::read(&path)?;
    fs::remove_file(&path)?;
    Ok(bytes)
}

fn tables<T: Record>(name: &str, layout: &Layout, records: &[T]) -> Result<()> {
    seed("csv", name, Some(99), &encoded(Format::Csv, layout, records)?)?;
    seed("geojson", &format!("{name}-collection"), Some(98), &encoded(Format::GeoJson, layout, records)?)?;
    seed("geojson", &format!("{name}-lines"), Some(99), &encoded(Format::GeoJsonSeq, layout, records)?)?;
    seed("parquet", name, None, &encoded(Format::Parquet, layout, records)?)?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let sandbox = Sandbox::start().await?;
    let client = Client::builder()
        .token(Token::new(Sandbox::TOKEN)?)
        .graph_url(sandbox.graph_url())
        .tiles_url(sandbox.tiles_url())
        .build()?;
    let images: Vec<Image> = include_str!("../ids.txt")
        .lines()
        .map(|id| Ok(Image { seq_id: SequenceId::new("SWxf3IwpsCM9GKBaetvkAy")?, img_id: ImageId::new(id)? }))
        .collect::<Result<_>>()?;
    // The API does not have the derived ones.
    let is_derived = |name: &&str| DERIVED_FROM.iter().any(|(derived, _)| derived == name);
    let names: Vec<_> = Fields::known().into_iter().filter(|name| !is_derived(name)).collect();
    let fields = names.join(",").parse::<Fields>()?;
    let mut found: Vec<Metadata> = Vec::new();
    for image in &images {
        found.push(client.image(image, &fields).await?);
    }
    tiles(&sandbox, &client, found[0].geometry.ok_or("an image without coordinates")?).await?;
    responses(&sandbox, &images, &fields)?;
    pictures(&found)?;
    all_tables(&sandbox, &images, &found, &fields)?;
    objects(&sandbox, &client, &images, found[0].geometry.ok_or("an image without coordinates")?).await?;
    texts(&found)?;
    Ok(())
}

async fn tiles(sandbox: &Sandbox, client: &Client, location: LonLat) -> Result<()> {
    for z in 0..=14 {
        let bytes = client.tile(TileId::containing(location, z)).await?;
        let selector = if z == 14 { 2 } else { 1 | 2 | z << 3 };
        // Large tiles slow down the fuzzer and add nothing.
        if bytes.len() < 20_000 {
            seed("tile", &format!("{z}"), Some(selector), &bytes)?;
        }
    }
    for sequence in sandbox.mock_data().sequences().iter().take(40) {
        let Some(image) = sequence.images().next() else { continue };
        let bytes = client.tile(TileId::containing(image.coordinates(), 14)).await?;
        if bytes.len() < 4000 {
            seed("tile", sequence.id(), Some(0), &bytes)?;
        }
    }
    for tileset in [Tileset::TrafficSigns, Tileset::Points] {
        let bytes = client.tile_of(tileset, TileId::containing(location, 14)).await?;
        seed("features", tileset.name(), None, &bytes)?;
    }
    seed("tile", "empty", Some(0), &[]).map_err(Into::into)
}

/// Detections and map features: responses, shapes and tables.
async fn objects(sandbox: &Sandbox, client: &Client, images: &[Image], location: LonLat) -> Result<()> {
    let fields = "width,height,exif_orientation,geometry,computed_geometry,detections.id,detections.value,\
                  detections.created_at,detections.geometry";
    let mut found = Vec::new();
    for Image { img_id, .. } in images {
        let body = get(&format!("{}/?ids={img_id}&fields={fields}", sandbox.graph_url()))?;
        // Long responses slow down the fuzzer and add nothing.
        if body.len() < 20_000 {
            seed("detections", img_id.as_str(), None, &body)?;
        }
        found.extend(client.detections(img_id).await?);
    }
    for (index, shape) in
        found.iter().filter_map(|detection| detection.geometry.as_ref()).take(200).enumerate()
    {
        seed("shape", &format!("text-{index}"), None, shape.as_bytes())?;
        if let Some(bytes) = base64_bytes(shape) {
            seed("shape", &format!("bytes-{index}"), None, &bytes)?;
        }
    }
    tables("detections", &Layout::default(), &found[..found.len().min(5)])?;
    let LonLat { lon, lat } = location;
    let area = Bbox::new(lon - 0.005, lat - 0.005, lon + 0.005, lat + 0.005)?;
    let features: Vec<MapFeature> =
        FeatureSource::within(client, area).stream().take(5).try_collect().await?;
    tables("features", &Layout::default(), &features)
}

/// Decodes base64 with padding.
fn base64_bytes(text: &str) -> Option<Vec<u8>> {
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for letter in text.trim_end_matches('=').chars() {
        bits = bits << 6 | u32::try_from(letters.find(letter)?).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    Some(bytes)
}

fn responses(sandbox: &Sandbox, images: &[Image], fields: &Fields) -> Result<()> {
    let graph = sandbox.graph_url();
    let ids: Vec<&str> = images.iter().map(|image| image.img_id.as_str()).collect();
    let sequence = sandbox.mock_data().sequences()[0].id();
    // Batches with these fields fail, as at Mapillary.
    let excluded = ["mesh", "sfm_cluster", "detections"];
    let batch_fields =
        fields.names().iter().filter(|name| !excluded.contains(name)).copied().collect::<Vec<_>>().join(",");
    for (name, selector, path) in [
        ("batch", 0x10, format!("/?ids={}&fields={batch_fields}", ids.join(","))),
        ("few-fields", 0x10, format!("/?ids={}&fields=captured_at,geometry", ids.join(","))),
        ("image", 0x10, format!("/{}?fields={fields}", ids[0])),
        ("bare", 0x10, format!("/{}", ids[0])),
        ("page", 0x20, format!("/image_ids?sequence_id={sequence}")),
        ("no-page", 0x20, "/image_ids?sequence_id=nothing".to_owned()),
        ("gone", 0x17, "/1?fields=id".to_owned()),
        ("no-field", 0x1d, format!("/{}?fields=colour", ids[0])),
        ("no-sequence", 0x27, "/image_ids".to_owned()),
    ] {
        seed("responses", name, Some(selector), &get(&format!("{graph}{path}"))?)?;
    }
    let next = r#"{"data":[{"id":"1"},{"id":2}],"paging":{"cursors":{"after":"x"},"next":"https://graph.mapillary.com/image_ids?access_token=MLY%7C1%7Cab&after=x"}}"#;
    seed("responses", "next-page", Some(0x20), next.as_bytes())?;
    for (name, selector, body) in [
        ("html", 0x40, "<!doctype html><title>Log in</title>"),
        (
            "limit",
            0x1a,
            r#"{"error":{"message":"Application request limit reached","type":"OAuthException","is_transient":true,"code":4,"error_subcode":33,"fbtrace_id":"A"}}"#,
        ),
        (
            "token",
            0x17,
            r#"{"error":"see https:\/\/x\/?access_token=MLY%7C1234567890123456%7C0123456789abcdef"}"#,
        ),
        ("expired", 0x39, "URL signature expired"),
    ] {
        seed("responses", name, Some(selector), body.as_bytes())?;
    }
    Ok(())
}

fn pictures(found: &[Metadata]) -> Result<()> {
    let picture = get(found[0].thumb_256_url.as_deref().ok_or("an image without a picture")?)?;
    // The target takes the chunk sizes from the end of the input, like the fuzzer's input splitting.
    seed("jpeg", "whole", None, &[picture.as_slice(), &[7; 16]].concat())?;
    seed("jpeg", "cut", None, &picture[..picture.len() / 2])?;
    let small = [
        0xff, 0xd8, 0xff, 0xe1, 0x00, 0x06, 0xff, 0xd8, 0xff, 0xd9, 0xff, 0xda, 0x00, 0x03, 0x01, 0x12, 0xff,
        0x00, 0x34, 0xff, 0xd3, 0x56, 0xff, 0xda, 0x00, 0x03, 0x01, 0x78, 0xff, 0xd9,
    ];
    seed("jpeg", "small", None, &small)?;
    Ok(())
}

fn all_tables(sandbox: &Sandbox, images: &[Image], found: &[Metadata], fields: &Fields) -> Result<()> {
    let org_id = Some(OwnerId::new("227409318565107")?);
    let sequences = sandbox.mock_data().sequences().iter().take(5);
    let sequences: Vec<Sequence> = sequences
        .map(|sequence| Ok(Sequence { org_id: org_id.clone(), seq_id: SequenceId::new(sequence.id())? }))
        .collect::<Result<_>>()?;
    tables("sequences", &Layout::default(), &sequences)?;
    tables("images", &Layout::default(), images)?;
    tables("metadata", &Layout::default().fields(fields), &found[..2])?;
    tables("best", &Layout::default().fields(fields).geometry(GeometryChoice::Best), &found[..2])?;
    tables("few", &Layout::default().fields(&Fields::default()), found)?;
    tables("none", &Layout::default().fields(fields), &[] as &[Metadata])?;
    let mut unusual = found[0].clone();
    unusual.captured_at = Some(i64::MAX / 2);
    unusual.make = Some("a \"quoted\"\r\nname, with =1".to_owned());
    unusual.camera_parameters = Some(vec![]);
    unusual.geometry = None;
    tables("odd", &Layout::default().fields(fields).record_separators().native_geometry(), &[unusual])?;
    let foreign = "\u{feff}img_id,captured_at,is_pano,lon,lat,computed_rotation,detections\r\n\
        1,2023-12-10T11:43:46.123+02:00,True,33.5,35.0,\"[1,2.5e-3]\",\"[\"\"7\"\"]\"\r\n2,1.7e12,0,,,,\r\n";
    seed("csv", "foreign", Some(3), foreign.as_bytes())?;
    let collection = r#"{"type":"FeatureCollection","crs":{"type":"name","properties":{"name":"urn:ogc:def:crs:OGC:1.3:CRS84"}},"features":[{"type":"Feature","id":1,"geometry":{"type":"Point","coordinates":[33.5,35,100]},"properties":{"seq_id":"a","captured_at":"2023-12-10 11:43:46Z","width":2560.0,"is_pano":1}}],"bbox":[1,2,3,4]}"#;
    seed("geojson", "foreign", Some(8), collection.as_bytes())?;
    Ok(())
}

fn texts(found: &[Metadata]) -> Result<()> {
    for (name, text) in [
        ("sequence", "-abcDEF_0123456789xyz"),
        ("image", "26774514888887982"),
        ("float", "1.463e15"),
        ("dots", "../../etc"),
        ("box", "32.19,34.52,34.18,35.49"),
        ("fields", "captured_at,geometry,creator"),
    ] {
        seed("ids", name, None, text.as_bytes())?;
    }
    let picture = found[0].thumb_256_url.as_deref().unwrap_or_default();
    for (name, text) in [
        ("picture", picture),
        ("next", "https://graph.mapillary.com/image_ids?access_token=MLY%7C1%7Cab&after=x"),
        ("user", "https://graph.mapillary.com@127.0.0.1/"),
        ("login", "/login/?next=https%3A%2F%2Fx%3Faccess_token%3DMLY%257C1%257Cab"),
        (
            "signed",
            "https://scontent.xx.fbcdn.net/m1/v/t6/x?stp=s256x192&ccb=10-5&oh=00_x&oe=68A5F1C2&_nc_sid=201bca",
        ),
    ] {
        seed("urls", name, Some(5), text.as_bytes())?;
    }
    Ok(())
}
