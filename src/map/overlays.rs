//! What lies over the images: detections in their pictures, and map features.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::dictionary::Dictionary;
use super::ids::id_number;
use super::packing::Column;
use super::values::{NO_TIME, mercator, seconds};
use crate::model::{Detection, MapFeature, shown_line};

/// Most detections of a page, and most features. Further ones are counted only.
const MAX_ROWS: usize = 5_000_000;

/// Coordinates in a picture are multiples of this part of its side.
const PARTS: f64 = 10_000.0;

/// Longest name of a class, in characters.
const MAX_CLASS_LEN: usize = 80;

/// Boxes in pictures.
#[derive(Debug, Clone, Default)]
pub(super) struct Detections {
    /// Number of the image's id, class, and left, top, width, height.
    rows: Vec<(u64, u32, [u16; 4])>,
    classes: Dictionary<String>,
    /// Without a box, or too many.
    omitted: u64,
}

impl Detections {
    pub(super) fn push(&mut self, detection: &Detection) {
        let sides = [detection.x, detection.y, detection.w, detection.h].map(|side| side.and_then(part));
        let ([Some(x), Some(y), Some(w), Some(h)], Some(id)) = (sides, id_number(&detection.img_id)) else {
            self.omitted += 1;
            return;
        };
        if self.rows.len() >= MAX_ROWS {
            self.omitted += 1;
            return;
        }
        let class = number(&mut self.classes, detection.value.as_deref());
        self.rows.push((id, class, [x, y, w, h]));
    }

    /// The columns, in the order of the images. `rows` has the row of each id.
    pub(super) fn columns(&self, rows: impl FnOnce() -> HashMap<u64, u32>) -> Vec<Column> {
        if self.rows.is_empty() {
            return Vec::new();
        }
        let (rows, ranks) = (rows(), self.classes.by_count().0);
        let mut boxes: Vec<_> = self
            .rows
            .iter()
            .filter_map(|(id, class, sides)| Some((*rows.get(id)?, ranks[*class as usize], *sides)))
            .collect();
        boxes.sort_unstable();
        let column = |name, value: fn(&(u32, u32, [u16; 4])) -> u32, is_difference| {
            Column::new(name, boxes.iter().map(value), is_difference)
        };
        vec![
            column("box_row", |row| row.0, true),
            column("box_class", |row| row.1, false),
            column("box_x", |row| row.2[0].into(), false),
            column("box_y", |row| row.2[1].into(), false),
            column("box_width", |row| row.2[2].into(), false),
            column("box_height", |row| row.2[3].into(), false),
        ]
    }

    pub(super) fn json(&self) -> Value {
        json!({ "classes": names(&self.classes), "omitted": self.omitted })
    }
}

/// Objects and signs on the map.
#[derive(Debug, Clone, Default)]
pub(super) struct Features {
    x: Vec<u32>,
    y: Vec<u32>,
    class: Vec<u32>,
    seen: Vec<u32>,
    images: Vec<u32>,
    id: Vec<u64>,
    classes: Dictionary<String>,
    /// Without a position, or too many.
    omitted: u64,
}

impl Features {
    pub(super) fn push(&mut self, feature: &MapFeature) {
        let id = feature.feature_id.as_str().parse().unwrap_or_default();
        let Some((x, y)) = feature.geometry.and_then(mercator).filter(|_| self.x.len() < MAX_ROWS) else {
            self.omitted += 1;
            return;
        };
        self.x.push(x);
        self.y.push(y);
        self.id.push(id);
        self.class.push(number(&mut self.classes, feature.value.as_deref()));
        self.seen.push(feature.last_seen_at.map_or(NO_TIME, seconds));
        self.images.push(feature.n_images.and_then(|count| u32::try_from(count).ok()).unwrap_or(0));
    }

    pub(super) fn columns(&self) -> Vec<Column> {
        if self.x.is_empty() {
            return Vec::new();
        }
        let ranks = self.classes.by_count().0;
        #[expect(clippy::cast_possible_truncation, reason = "the halves of a number")]
        let half = |name, shift: u32| Column::new(name, self.id.iter().map(|id| (id >> shift) as u32), false);
        let copied = |name, values: &[u32]| Column::new(name, values.iter().copied(), true);
        vec![
            copied("feature_x", &self.x),
            copied("feature_y", &self.y),
            Column::new("feature_class", self.class.iter().map(|class| ranks[*class as usize]), false),
            copied("feature_seen", &self.seen),
            copied("feature_images", &self.images),
            half("feature_id_low", 0),
            half("feature_id_high", 32),
        ]
    }

    pub(super) fn json(&self) -> Value {
        json!({ "classes": names(&self.classes), "omitted": self.omitted })
    }
}

/// A coordinate in a picture; `None` if it is outside.
fn part(side: f64) -> Option<u16> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 10,000")]
    (0.0..=1.0).contains(&side).then(|| (side * PARTS).round() as u16)
}

fn number(classes: &mut Dictionary<String>, value: Option<&str>) -> u32 {
    let value = value.unwrap_or_default();
    classes.number(|known| known == value, || value.to_owned())
}

/// The names of classes, the most frequent first.
fn names(classes: &Dictionary<String>) -> Vec<String> {
    let (_, order) = classes.by_count();
    order
        .into_iter()
        .map(|number| shown_line(&classes.keys()[number as usize], MAX_CLASS_LEN).unwrap_or_default())
        .collect()
}
