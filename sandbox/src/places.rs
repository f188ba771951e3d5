//! The two worlds: Cyprus, made by hand, and one of any size.

use std::sync::Arc;

use super::town::{Node, Town, extend, mix, unit};
use super::world::{MockSequence, PANO, Quirk, World};
use streetflow::geo::LonLat;

/// Name, longitude and latitude.
const TOWNS: [(&str, f64, f64); 8] = [
    ("Nicosia", 33.3623, 35.1712),
    ("Limassol", 33.0333, 34.6876),
    ("Larnaca", 33.6233, 34.9182),
    ("Paphos", 32.4295, 34.7794),
    ("Ayia Napa", 33.9990, 34.9930),
    ("Polis", 32.4260, 35.0300),
    ("Kyrenia", 33.3192, 35.3280),
    ("Famagusta", 33.9380, 35.1200),
];

const DRIVES_PER_TOWN: u64 = 11;

impl World {
    /// Eight towns of Cyprus: the world that a sandbox serves unless told otherwise.
    ///
    /// 90 sequences with 2,609 images, 446 of them panoramas, by 6 users, for
    /// 3 organisations or none. Among them: five sequences of one image; a
    /// drive of 300 from Nicosia to Larnaca; one sequence and three images
    /// that are gone; images without pictures, times that can't be, ids
    /// above 2^53.
    pub fn cyprus() -> Self {
        const SEED: u64 = 20_190_501;
        let towns = towns(SEED, 5, TOWNS.len());
        let mut drives: Vec<_> = (0..towns.len() as u64)
            .flat_map(|town| (0..DRIVES_PER_TOWN).map(move |number| (town, number)))
            .map(|(town, number)| town_drive(SEED, &towns[town as usize], town, number))
            .collect();
        let way = inter_town(towns[0].centre, towns[2].centre);
        let spacing = way[way.len() - 1].at / 300.0;
        drives.push(MockSequence { organization: Some(0), spacing, ..drive(&towns[0], way, 300) });
        let way = towns[3].walk(SEED, 200.0);
        drives.push(MockSequence {
            organization: Some(0),
            quirk: Quirk::Gone,
            creator: 1,
            ..drive(&towns[3], way, 14)
        });
        Self::assemble(SEED, drives)
    }

    /// As many images as asked for in and between the towns of Cyprus, in memory that grows with the sequences only.
    pub fn of_size(images: u64, seed: u64) -> Self {
        let towns = towns(seed, 10, TOWNS.len() + (images / 10_000) as usize);
        let mut drives = Vec::new();
        let mut left = images;
        while left > 0 {
            let salt = mix(seed, drives.len() as u64);
            let town = &towns[mix(salt, 1) as usize % towns.len()];
            let count = (40 + mix(salt, 2) % 321).min(left);
            let spacing = 8.0 + 7.0 * unit(salt, 3);
            let way = town.walk(salt, spacing * count as f64);
            left -= count;
            drives.push(MockSequence {
                spacing,
                organization: [None, None, None, Some(0), Some(1), Some(2)][mix(salt, 4) as usize % 6],
                creator: mix(salt, 5) as usize % 5,
                camera: [0, 0, 1, 2, 3, PANO][mix(salt, 6) as usize % 6],
                on_foot: mix(salt, 7).is_multiple_of(8),
                ..drive(town, way, count as u32)
            });
        }
        Self::assemble(seed, drives)
    }
}

/// MockSequence number 0 to 10 of a town. What differs from drive to drive is written out, so that a test can rely on it.
fn town_drive(seed: u64, town: &Town, town_number: u64, number: u64) -> MockSequence {
    let salt = mix(town.seed, number);
    let (organization, creator) = match number {
        0 | 3 => (Some(0), 0),
        6 => (Some(0), 1),
        1 if town_number < 5 => (Some(1), 2),
        4 if town_number.is_multiple_of(2) => (Some(2), 3),
        2 => (None, 0),
        8 if town_number == 7 => (None, 5),
        5 | 7 => (None, 4),
        _ => (None, 1 + mix(salt, 4) as usize % 3),
    };
    let count = match number {
        10 if town_number < 5 => 1,
        9 if town_number < 4 => 3,
        _ => 6 + (mix(salt, 1) % 46) as u32,
    };
    let quirk = match (town_number, number) {
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
    let way = town.walk(mix(seed, salt), spacing * f64::from(count));
    MockSequence {
        organization,
        creator,
        spacing,
        quirk,
        camera,
        on_foot: number == 5,
        ..drive(town, way, count)
    }
}

/// A drive with nothing particular about it; the world gives it its id and numbers.
fn drive(town: &Town, way: Vec<Node>, count: u32) -> MockSequence {
    MockSequence {
        id: String::new(),
        town: Arc::clone(&town.name),
        organization: None,
        creator: 0,
        camera: 0,
        on_foot: false,
        quirk: Quirk::None,
        first: 0,
        count,
        way,
        spacing: 11.0,
        salt: 0,
    }
}

/// The towns of Cyprus, then villages anywhere on the island's box.
fn towns(seed: u64, reach: i64, count: usize) -> Vec<Town> {
    let town = |number: usize| {
        let seed = mix(seed, number as u64);
        match TOWNS.get(number) {
            Some((name, lon, lat)) => {
                Town { name: Arc::from(*name), centre: LonLat { lon: *lon, lat: *lat }, seed, reach }
            }
            None => Town {
                name: format!("Village {number}").into(),
                centre: LonLat { lon: 32.24 + 1.89 * unit(seed, 1), lat: 34.55 + 0.9 * unit(seed, 2) },
                seed,
                reach,
            },
        }
    };
    (0..count).map(town).collect()
}

/// A winding road from one town to another.
fn inter_town(from: LonLat, to: LonLat) -> Vec<Node> {
    let mut way = Vec::new();
    for step in 0..=60 {
        let part = f64::from(step) / 60.0;
        let swing = 0.012 * (part * 9.0).sin() * (part * std::f64::consts::PI).sin();
        let lon = from.lon + (to.lon - from.lon) * part + swing;
        let lat = from.lat + (to.lat - from.lat) * part + swing;
        extend(&mut way, LonLat { lon, lat });
    }
    way
}
