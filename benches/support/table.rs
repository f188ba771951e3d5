//! Tables of synthetic images, the same in every run.

use streetflow::{ImageId, LonLat, Metadata, SequenceId};

/// Ten columns: two ids, a time, an angle, coordinates, two sizes, a repeated text, a URL of 200 bytes.
pub(crate) const WIDE: &str = "captured_at,compass_angle,geometry,width,height,camera_type,thumb_256_url";

/// Four columns, counting the geometry as one, as in Parquet and GeoJSON.
#[allow(dead_code, reason = "not used by every user of this module")]
pub(crate) const NARROW: &str = "captured_at,geometry";

/// Number of images of a sequence.
const SEQUENCE: usize = 200;

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Returns images of sequences of two hundred images, one every eight metres and two seconds.
pub(crate) fn records(count: usize) -> Vec<Metadata> {
    let mut dice = fastrand::Rng::with_seed(5);
    let mut records = Vec::with_capacity(count);
    let mut drive = MockSequence::new(&mut dice);
    for index in 0..count {
        if index % SEQUENCE == 0 {
            drive = MockSequence::new(&mut dice);
        }
        records.push(drive.next(&mut dice));
    }
    records
}

/// Returns images with values in nearly all columns.
#[allow(dead_code, reason = "not used by every user of this module")]
pub(crate) fn full_records(count: usize) -> Vec<Metadata> {
    let mut dice = fastrand::Rng::with_seed(6);
    let full = records(count).into_iter().map(|image| Metadata {
        computed_geometry: image.geometry,
        computed_compass_angle: image.compass_angle,
        altitude: Some(dice.f64() * 300.0),
        computed_altitude: Some(dice.f64() * 10.0),
        computed_rotation: Some(vec![dice.f64(), dice.f64(), dice.f64()]),
        atomic_scale: Some(1.0 + dice.f64() / 10.0),
        camera_parameters: Some(vec![0.85, -0.1, 0.01]),
        make: Some("GoPro".to_owned()),
        model: Some("GoPro Max".to_owned()),
        exif_orientation: Some(1),
        is_pano: Some(false),
        quality_score: Some(dice.f64()),
        creator_id: Some("112233445566".to_owned()),
        creator_username: Some("maria_streets".to_owned()),
        organization_id: Some("227409318565107".to_owned()),
        thumb_1024_url: Some(url(&mut dice)),
        thumb_2048_url: Some(url(&mut dice)),
        merge_cc: Some(4.546_427_159_383e18),
        sfm_cluster_id: Some(dice.u64(1_000_000..9_000_000_000).to_string()),
        sfm_cluster_url: Some(url(&mut dice)),
        ..image
    });
    full.collect()
}

struct MockSequence {
    id: SequenceId,
    place: LonLat,
    heading: f64,
    time: i64,
    size: (i32, i32),
    camera: &'static str,
}

impl MockSequence {
    fn new(dice: &mut fastrand::Rng) -> Self {
        let (size, camera) = dice
            .choice([
                ((4032, 3024), "perspective"),
                ((2560, 1440), "fisheye"),
                ((5760, 2880), "equirectangular"),
            ])
            .unwrap();
        Self {
            id: SequenceId::new(&letters(dice, 22)).unwrap(),
            place: LonLat { lon: 32.2 + 2.0 * dice.f64(), lat: 34.5 + dice.f64() },
            heading: 360.0 * dice.f64(),
            time: dice.i64(1_400_000_000_000..1_790_000_000_000),
            size,
            camera,
        }
    }

    fn next(&mut self, dice: &mut fastrand::Rng) -> Metadata {
        self.heading = (self.heading + 4.0 * dice.f64() - 2.0).rem_euclid(360.0);
        let (east, north) = self.heading.to_radians().sin_cos();
        self.place.lon += 8.8e-5 * east;
        self.place.lat += 7.2e-5 * north;
        self.time += dice.i64(1_900..2_100);
        Metadata {
            seq_id: self.id.clone(),
            img_id: ImageId::new(&dice.u64(100_000_000_000_000..4_000_000_000_000_000).to_string()).unwrap(),
            captured_at: Some(self.time),
            compass_angle: Some((self.heading * 1e11).round() / 1e11),
            geometry: Some(self.place),
            width: Some(self.size.0),
            height: Some(self.size.1),
            camera_type: Some(self.camera.to_owned()),
            thumb_256_url: Some(url(dice)),
            ..Metadata::default()
        }
    }
}

/// Returns a signed URL, about as random as Mapillary's.
fn url(dice: &mut fastrand::Rng) -> String {
    let mut url = format!("https://scontent-vie1-1.xx.fbcdn.net/m1/v/t6/An{}", letters(dice, 84));
    url += "?stp=s256x192&ccb=10-5&oh=00_Af";
    url += &letters(dice, 24);
    url += "&oe=6A3B9C1D&_nc_sid=201bca";
    url.truncate(200);
    assert_eq!(url.len(), 200);
    url
}

fn letters(dice: &mut fastrand::Rng, count: usize) -> String {
    (0..count).map(|_| char::from(LETTERS[dice.usize(..64)])).collect()
}
