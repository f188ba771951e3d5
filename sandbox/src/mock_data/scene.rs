//! The objects in a picture, in bands that do not overlap: signs and poles, trees and houses, vehicles, the ground.

use super::detection::{EXTENT, Form, MockDetection};
use super::feature::{MockFeature, POLE};
use super::hash::{mix, unit};
use super::ids::detection_id;
use super::shape::{Polygon, Ring, bounds, rectangle, reversed, round};
use super::{MockData, MockImage};

/// Maximum number of detections of an image.
pub(super) const MAX_DETECTIONS: u64 = 64;
/// Width of a column of signs and poles. There are ten.
const FEATURE_COLUMN: i32 = 409;
/// Width of a column of trees and houses. There are four.
const PLANT_COLUMN: i32 = 1024;
/// Width of a column of vehicles. There are five.
const VEHICLE_COLUMN: i32 = 819;

const VEHICLES: [&str; 5] = [
    "object--vehicle--car",
    "object--vehicle--car",
    "object--vehicle--truck",
    "object--vehicle--bus",
    "object--vehicle--motorcycle",
];

impl MockImage<'_> {
    /// Returns whether the image has computed values and was searched for objects.
    pub fn is_processed(&self) -> bool {
        !mix(self.sequence.salt, 31).is_multiple_of(6) && self.random(31) > 0.03
    }

    /// Returns the detections, in the order in which they are drawn: later ones cover earlier ones.
    ///
    /// Empty if the image is not processed, and for some processed images.
    pub fn detections(&self) -> Vec<MockDetection> {
        if !self.is_processed() || self.random(44) < 0.06 {
            return Vec::new();
        }
        let mut scene = Scene {
            image: self,
            salt: mix(self.sequence.salt, 0x5CE9E ^ u64::from(self.index)),
            found: Vec::new(),
        };
        scene.add_features();
        scene.add_plants();
        scene.add_vehicles();
        scene.add_edges();
        scene.found
    }
}

impl MockData {
    /// Returns the color of the picture of an image at a point, if the picture shows a detection there.
    ///
    /// The units are those of [`MockDetection::polygons`].
    pub fn detection_color(&self, image_id: &str, x: f64, y: f64) -> Option<[u8; 3]> {
        let detections = self.image(image_id)?.detections();
        detections.iter().rev().find(|detection| detection.contains(x, y)).map(MockDetection::color)
    }
}

/// The detections of an image while they are collected.
struct Scene<'a> {
    image: &'a MockImage<'a>,
    salt: u64,
    found: Vec<MockDetection>,
}

impl Scene<'_> {
    fn random(&self, salt: u64) -> f64 {
        unit(self.salt, salt)
    }

    /// Adds a detection. `index` is its number in the image.
    fn add(&mut self, index: u64, value: &'static str, shape: Vec<Polygon>) -> &mut MockDetection {
        let number =
            detection_id((self.image.sequence.first + u64::from(self.image.index)) * MAX_DETECTIONS + index);
        let chance = mix(number, 77);
        let form = match chance % 1_000 {
            0 => Form::Absent,
            1 => Form::Empty,
            2 => Form::NotBase64,
            3 => Form::UnknownCommand,
            4 => Form::OtherLayer,
            5 => Form::TwoVertices,
            6..12 => Form::FineUnits,
            12..300 => Form::OneFeature,
            _ => Form::Segment,
        };
        // From the 19th to the 22nd of May 2021, long after most images were captured.
        let created_at = 1_621_382_400_000 + (chance >> 20).cast_signed() % 345_600 * 1_000;
        self.found.push(MockDetection {
            number,
            value,
            color: color(value),
            shape,
            form,
            created_at,
            feature: None,
        });
        let last = self.found.len() - 1;
        &mut self.found[last]
    }

    /// Adds the map features that the image sees, in the upper third. They grow from image to image.
    fn add_features(&mut self) {
        for (feature, age) in self.image.visible_features() {
            let column = feature.column().cast_signed();
            let centre = column * FEATURE_COLUMN + FEATURE_COLUMN / 2;
            let size = 60 + 30 * age.cast_signed();
            let index = u64::from(feature.column());
            match feature.value() {
                value if feature.is_sign() => self.add_sign(&feature, index, value, centre, size),
                POLE => {
                    let part = |y0, y1| vec![rectangle(centre - size / 4, y0, centre + size / 4, y1)];
                    let mut parts = vec![part(300, 800), part(850, 1_300)];
                    parts.extend((size % 60 == 0).then(|| part(1_340, 1_560)));
                    self.add(index, POLE, parts).feature = Some(feature.numeric_id());
                }
                value => {
                    let shape = round((centre, 1_000), (size, size + size / 3), 6 + u32::from(size > 100));
                    self.add(index, value, vec![vec![shape]]).feature = Some(feature.numeric_id());
                }
            }
        }
    }

    /// Adds a sign: a box that is the sign's detection, the front of the sign on it, and its pole.
    fn add_sign(
        &mut self,
        feature: &MockFeature<'_>,
        index: u64,
        value: &'static str,
        centre: i32,
        size: i32,
    ) {
        let front = round((centre, 520 + (feature.random(14) * 300.0) as i32), (size, size), 8);
        let sign = bounds(&front);
        let bottom = sign[2].1;
        let detection = self.add(index, value, vec![vec![sign]]);
        detection.feature = Some(feature.numeric_id());
        if detection.form.has_shape() {
            detection.form =
                if detection.number.is_multiple_of(3) { Form::ReversedSign } else { Form::OldSign };
        }
        self.add(10 + index, "object--traffic-sign--front", vec![vec![front]]);
        self.add(
            20 + index,
            "object--support--pole",
            vec![vec![rectangle(centre - 12, bottom, centre + 12, 1_560)]],
        );
    }

    /// Adds trees with gaps and bushes, houses with windows, and water, around the horizon.
    fn add_plants(&mut self) {
        for column in 0..4 {
            let salt = 100 + column * 10;
            let left = column as i32 * PLANT_COLUMN;
            let hole = |x, y, r| reversed(round((x, y), (r, r), 3 + (column as u32 + r.cast_unsigned()) % 3));
            match self.random(salt) {
                ..0.4 => {
                    let radius = 180 + (self.random(salt + 1) * 120.0) as i32;
                    let (x, y) = (left + 340, 2_250);
                    let mut crown = vec![round((x, y), (radius, radius + 200), 15 + column as u32)];
                    let holes = [(-radius / 3, -80), (radius / 3, 40), (-radius / 4, 140)];
                    let count = (self.random(salt + 2) * 4.0) as usize;
                    crown.extend(
                        holes.iter().take(count).map(|(dx, dy)| hole(x + dx, y + dy, 40 + radius / 12)),
                    );
                    let mut shape = vec![crown];
                    if self.random(salt + 3) < 0.4 {
                        shape.push(vec![round((left + 830, 2_600), (110, 90), 9)]);
                    }
                    self.add(30 + column, "nature--vegetation", shape);
                }
                ..0.6 => {
                    let (x, top) = (left + 60, 1_700 + (self.random(salt + 1) * 400.0) as i32);
                    let mut walls: Polygon = vec![rectangle(x, top, x + 820, 2_880)];
                    let windows = (0..2)
                        .flat_map(|row| (0..3).map(move |at| (x + 90 + at * 240, top + 120 + row * 330)));
                    walls.extend(windows.map(|(x, y)| reversed(rectangle(x, y, x + 140, y + 200))));
                    self.add(30 + column, "construction--structure--building", vec![walls]);
                }
                ..0.65 => {
                    let shore = vec![
                        (left, 2_700),
                        (left + 500, 2_640),
                        (left + PLANT_COLUMN, 2_710),
                        (left + 600, 2_890),
                    ];
                    self.add(30 + column, "nature--water", vec![vec![shore]]);
                }
                ..0.75 => {
                    let block = vec![(left + 500, 2_800), (left + 520, 2_740), (left + 540, 2_815)];
                    self.add(30 + column, "construction--barrier--concrete-block", vec![vec![block]]);
                }
                _ => {}
            }
        }
    }

    /// Adds vehicles with wheels. Some are cut off by the edge of the picture, or by the seam of a panorama.
    fn add_vehicles(&mut self) {
        let at_seam = self.image.sequence.is_pano() && self.random(200) < 0.7;
        let cut_off = !at_seam && self.random(201) < 0.3;
        for column in 0..5 {
            let salt = 210 + column * 10;
            let value = VEHICLES[(self.random(salt + 1) * VEHICLES.len() as f64) as usize];
            if at_seam && (column == 0 || column == 4) {
                let half = if column == 0 {
                    vec![(0, 3_080), (260, 3_080), (300, 3_190), (300, 3_480), (0, 3_480)]
                } else {
                    vec![(3_800, 3_080), (EXTENT, 3_080), (EXTENT, 3_480), (3_800, 3_480)]
                };
                self.add(40 + column, "object--vehicle--bus", vec![vec![half]]);
            } else if cut_off && column == 0 {
                let rear = vec![(0, 3_100), (210, 3_110), (320, 3_280), (330, 3_440), (0, 3_450)];
                self.add(40, value, vec![vec![rear]]);
            } else if self.random(salt) < 0.4 {
                let left = column as i32 * VEHICLE_COLUMN + 50 + (self.random(salt + 2) * 100.0) as i32;
                let width = 420 + (self.random(salt + 3) * 200.0) as i32;
                let y = 3_060 + (self.random(salt + 4) * 60.0) as i32;
                self.add(40 + column, value, vec![vec![vehicle(left, y, width)]]);
                // Wheels are detected as parts of the vehicle, with its class.
                let wheel = round((left + width / 4, y + 270), (48, 48), 12);
                self.add(50 + column, value, vec![vec![wheel]]).color = [34, 34, 38];
            }
        }
    }

    /// Adds what touches the upper and the lower edge.
    fn add_edges(&mut self) {
        if self.random(300) < 0.3 {
            let sky = vec![(0, 0), (EXTENT, 0), (EXTENT, 150), (2_000, 200), (0, 120)];
            self.add(60, "nature--sky", vec![vec![sky]]);
        }
        if self.random(301) < 0.5 {
            let ground =
                vec![(3_600, EXTENT), (3_640, 3_800), (3_900, 3_700), (EXTENT, 3_650), (EXTENT, EXTENT)];
            self.add(61, "nature--terrain", vec![vec![ground]]);
        }
        if self.image.sequence.is_pano() || self.random(302) < 0.25 {
            let hood = vec![(2_750, EXTENT), (2_800, 3_960), (3_500, 3_960), (3_550, EXTENT)];
            self.add(62, "void--ego-vehicle", vec![vec![hood]]);
        }
    }
}

/// Returns the side view of a vehicle.
fn vehicle(left: i32, top: i32, width: i32) -> Ring {
    let x = |part: i32| left + width * part / 10;
    let (roof, hood, floor) = (top, top + 190, top + 330);
    vec![
        (x(0), hood),
        (x(2), hood - 20),
        (x(3), roof),
        (x(7), roof),
        (x(8), hood),
        (x(10), hood + 10),
        (x(10), floor),
        (x(0), floor),
    ]
}

/// Returns the color of a class.
fn color(value: &str) -> [u8; 3] {
    const COLORS: [(&str, [u8; 3]); 16] = [
        ("regulatory--", [226, 58, 46]),
        ("warning--", [244, 190, 40]),
        ("information--", [40, 104, 220]),
        ("complementary--", [124, 60, 160]),
        ("object--traffic-sign--", [238, 238, 234]),
        ("object--support--utility-pole", [112, 78, 52]),
        ("object--support--", [128, 130, 136]),
        ("object--vehicle--car", [198, 30, 92]),
        ("object--vehicle--bus", [250, 130, 20]),
        ("object--vehicle--", [20, 150, 160]),
        ("nature--vegetation", [36, 140, 58]),
        ("nature--terrain", [150, 98, 46]),
        ("nature--water", [48, 106, 182]),
        ("nature--sky", [120, 192, 244]),
        ("construction--structure", [206, 164, 120]),
        ("void--", [60, 62, 70]),
    ];
    let known = COLORS.iter().find(|(prefix, _)| value.starts_with(prefix));
    known.map_or([220, 80, 200], |(_, color)| *color)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::MockSequence;

    #[test]
    fn the_world_has_every_kind_of_shape() {
        let data = MockData::cyprus();
        let mut counts = BTreeMap::<&str, usize>::new();
        let mut ids = std::collections::HashSet::new();
        for image in data.sequences().iter().flat_map(MockSequence::images) {
            let detections = image.detections();
            let mut count = |what, yes| *counts.entry(what).or_default() += usize::from(yes);
            count("none", detections.is_empty());
            count("unprocessed", !image.is_processed());
            for detection in &detections {
                assert!(ids.insert(detection.number), "ids are unique");
                let vertices: Vec<_> = detection.polygons().iter().flatten().flatten().collect();
                assert!(vertices.iter().all(|(x, y)| (0..=EXTENT).contains(x) && (0..=EXTENT).contains(y)));
                count("holes", detection.polygons().iter().any(|rings| rings.len() > 1));
                count("parts", detection.polygons().len() > 1);
                count("at 4096", vertices.iter().any(|(x, y)| *x == EXTENT || *y == EXTENT));
                count("at 0", vertices.iter().any(|(x, y)| *x == 0 || *y == 0));
                count("triangle", vertices.len() == 3);
                count("old sign", detection.form == Form::OldSign);
                count("reversed sign", detection.form == Form::ReversedSign);
                count("fine", detection.form == Form::FineUnits);
                count("on the map", detection.feature.is_some());
                count("without shape", detection.polygons().is_empty());
            }
        }
        assert_eq!(counts.len(), 12);
        assert!(counts.values().all(|count| *count > 50), "{counts:?}");
    }

    #[test]
    fn an_object_at_the_seam_of_a_panorama_is_two_detections() {
        let data = MockData::cyprus();
        let panos = data.sequences().iter().filter(|sequence| sequence.is_pano());
        let cut = panos.flat_map(MockSequence::images).find_map(|image| {
            let buses: Vec<_> = image
                .detections()
                .into_iter()
                .filter(|found| found.value == "object--vehicle--bus")
                .collect();
            let touches =
                |x| buses.iter().find(|bus| bus.polygons().iter().flatten().flatten().any(|at| at.0 == x));
            Some((touches(0)?.number, touches(EXTENT)?.number))
        });
        assert!(cut.is_some_and(|(left, right)| left != right));
    }

    #[test]
    fn segments_do_not_overlap_each_other() {
        let data = MockData::cyprus();
        let nested = |value: &str| value.starts_with("object--vehicle");
        for image in data.sequences()[0].images().chain(data.sequences()[3].images()) {
            let detections = image.detections();
            for y in (8..EXTENT).step_by(32) {
                for x in (8..EXTENT).step_by(32) {
                    let here = detections.iter().filter(|found| {
                        let is_sign = matches!(found.form, Form::OldSign | Form::ReversedSign);
                        !is_sign && found.contains(f64::from(x) + 0.5, f64::from(y) + 0.5)
                    });
                    let values: Vec<_> = here.map(|found| found.value).collect();
                    assert!(
                        values.len() < 2 || (values.len() == 2 && nested(values[0])),
                        "{values:?} at {x} {y}"
                    );
                }
            }
        }
    }
}
