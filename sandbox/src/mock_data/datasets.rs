//! The two data sets: Cyprus, which is fixed, and one of any size.

use std::sync::Arc;

use streetflow::geo::LonLat;

use super::catalog::PANO;
use super::hash::{mix, unit};
use super::streets::{City, Node, extend};
use super::{MockData, MockSequence, Quirk};

/// Name, longitude and latitude.
const CITIES: [(&str, f64, f64); 8] = [
    ("Nicosia", 33.3623, 35.1712),
    ("Limassol", 33.0333, 34.6876),
    ("Larnaca", 33.6233, 34.9182),
    ("Paphos", 32.4295, 34.7794),
    ("Ayia Napa", 33.9990, 34.9930),
    ("Polis", 32.4260, 35.0300),
    ("Kyrenia", 33.3192, 35.3280),
    ("Famagusta", 33.9380, 35.1200),
];

const SEQUENCES_PER_CITY: u64 = 11;

impl MockData {
    /// Eight cities of Cyprus: the default data of the mock server.
    ///
    /// 90 sequences with 2,609 images, 446 of them panoramas, by 6 users, with
    /// 3 organizations or none. They include five sequences with one image, a
    /// sequence with 300 images from Nicosia to Larnaca, one deleted sequence
    /// and three more deleted images, images without pictures, impossible
    /// capture times, and ids above 2^53.
    ///
    /// Images have detections ([`MockImage::detections`](super::MockImage::detections)) that their pictures show, unless
    /// they are not processed, and see map features
    /// ([`MockSequence::map_features`](super::MockSequence::map_features)). Both include what clients must survive:
    /// shapes that cannot be decoded, holes, several parts, features that are deleted, without a place or never seen.
    pub fn cyprus() -> Self {
        const SEED: u64 = 20_190_501;
        let cities = cities(SEED, 5, CITIES.len());
        let mut sequences: Vec<_> = (0..cities.len() as u64)
            .flat_map(|city| (0..SEQUENCES_PER_CITY).map(move |number| (city, number)))
            .map(|(city, number)| city_sequence(SEED, &cities[city as usize], city, number))
            .collect();
        let path = winding_road(cities[0].centre, cities[2].centre);
        let spacing = path[path.len() - 1].metres / 300.0;
        sequences.push(MockSequence { organization: Some(0), spacing, ..sequence(&cities[0], path, 300) });
        let path = cities[3].random_path(SEED, 200.0);
        sequences.push(MockSequence {
            organization: Some(0),
            quirk: Quirk::Gone,
            creator: 1,
            ..sequence(&cities[3], path, 14)
        });
        Self::assemble(SEED, sequences)
    }

    /// A data set of `images` images in Cyprus. Memory grows with the sequences, about one per 200 images.
    pub fn with_image_count(images: u64, seed: u64) -> Self {
        let cities = cities(seed, 10, CITIES.len() + (images / 10_000) as usize);
        let mut sequences = Vec::new();
        let mut left = images;
        while left > 0 {
            let salt = mix(seed, sequences.len() as u64);
            let city = &cities[mix(salt, 1) as usize % cities.len()];
            let count = (40 + mix(salt, 2) % 321).min(left);
            let spacing = 8.0 + 7.0 * unit(salt, 3);
            let path = city.random_path(salt, spacing * count as f64);
            left -= count;
            sequences.push(MockSequence {
                spacing,
                organization: [None, None, None, Some(0), Some(1), Some(2)][mix(salt, 4) as usize % 6],
                creator: mix(salt, 5) as usize % 5,
                camera: [0, 0, 1, 2, 3, PANO][mix(salt, 6) as usize % 6],
                on_foot: mix(salt, 7).is_multiple_of(8),
                ..sequence(city, path, count as u32)
            });
        }
        Self::assemble(seed, sequences)
    }
}

/// Returns sequence number 0 to 10 of a city.
///
/// The differences between sequences are listed here, so that tests can rely on them.
fn city_sequence(seed: u64, city: &City, city_index: u64, number: u64) -> MockSequence {
    let salt = mix(city.seed, number);
    let (organization, creator) = match number {
        0 | 3 => (Some(0), 0),
        6 => (Some(0), 1),
        1 if city_index < 5 => (Some(1), 2),
        4 if city_index.is_multiple_of(2) => (Some(2), 3),
        2 => (None, 0),
        8 if city_index == 7 => (None, 5),
        5 | 7 => (None, 4),
        _ => (None, 1 + mix(salt, 4) as usize % 3),
    };
    let count = match number {
        10 if city_index < 5 => 1,
        9 if city_index < 4 => 3,
        _ => 6 + (mix(salt, 1) % 46) as u32,
    };
    let quirk = match (city_index, number) {
        (0, 0) => Quirk::GoneImage(3),
        (1, 3) => Quirk::GoneImage(0),
        (4, 2) => Quirk::GoneImage(5),
        (1, 0) => Quirk::SameTime,
        (2, 3) => Quirk::WrappedAltitude(2),
        (3, 0) => Quirk::FarFuture(4),
        (6, 0) => Quirk::NoGeometry(1),
        _ => Quirk::None,
    };
    let camera = match number {
        3 | 8 => PANO,
        1 => 1,
        4 => 2,
        7 => 3,
        _ => 0,
    };
    let spacing = 9.0 + 7.0 * unit(salt, 2);
    let path = city.random_path(mix(seed, salt), spacing * f64::from(count));
    MockSequence {
        organization,
        creator,
        spacing,
        quirk,
        camera,
        on_foot: number == 5,
        ..sequence(city, path, count)
    }
}

/// Returns a sequence with default properties. [`MockData::assemble`] sets the id, `first` and `salt`.
fn sequence(city: &City, path: Vec<Node>, count: u32) -> MockSequence {
    MockSequence {
        id: String::new(),
        city: Arc::clone(&city.name),
        organization: None,
        creator: 0,
        camera: 0,
        on_foot: false,
        quirk: Quirk::None,
        first: 0,
        count,
        path,
        spacing: 11.0,
        salt: 0,
    }
}

/// Returns the cities of Cyprus, then villages anywhere in the bounding box of the island.
fn cities(seed: u64, reach: i64, count: usize) -> Vec<City> {
    let city = |number: usize| {
        let seed = mix(seed, number as u64);
        match CITIES.get(number) {
            Some((name, lon, lat)) => {
                City { name: Arc::from(*name), centre: LonLat { lon: *lon, lat: *lat }, seed, reach }
            }
            None => City {
                name: format!("Village {number}").into(),
                centre: LonLat { lon: 32.24 + 1.89 * unit(seed, 1), lat: 34.55 + 0.9 * unit(seed, 2) },
                seed,
                reach,
            },
        }
    };
    (0..count).map(city).collect()
}

/// Returns a winding road from one city to another.
fn winding_road(from: LonLat, to: LonLat) -> Vec<Node> {
    let mut path = Vec::new();
    for step in 0..=60 {
        let part = f64::from(step) / 60.0;
        let bend = 0.012 * (part * 9.0).sin() * (part * std::f64::consts::PI).sin();
        let lon = from.lon + (to.lon - from.lon) * part + bend;
        let lat = from.lat + (to.lat - from.lat) * part + bend;
        extend(&mut path, LonLat { lon, lat });
    }
    path
}
