//! The columns of a page: blocks of compressed bytes, and a head that describes them.

use std::io;

use serde_json::{Value, json};

use super::ids::FIRST_OTHER_ID;
use super::images::{MapImages, shown};
use super::packing::{Column, compress};
use super::values::{NO_HEADING, NO_QUALITY, NO_TIME};

/// Level of compression of columns. Higher levels save 2 % and take three times as long.
const LEVEL: u32 = 4;

/// Level for ids, which are random: only the highest bytes compress.
const ID_LEVEL: u32 = 1;

/// A named part of a page: a zlib stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// Name, of lower-case letters and `_`.
    pub(super) name: &'static str,
    /// A zlib stream.
    pub(super) bytes: Vec<u8>,
}

impl MapImages {
    /// Encodes the columns. The first block, `head`, is JSON that describes the others. `extra` is added to it.
    ///
    /// Rows are grouped by sequence, in the order of capture times where they are known, else of the table.
    pub(super) fn encode(&self, with_ids: bool, extra: &Value) -> io::Result<Vec<Block>> {
        let order = self.order();
        let mut columns = self.columns(&order, with_ids);
        if with_ids {
            let rows = || (0..).zip(&order).map(|(row, at)| (self.id[*at as usize], row)).collect();
            columns.extend(self.detections.columns(rows));
        }
        columns.extend(self.features.columns());
        let head = self.head(&columns, with_ids, extra);
        let head = compress(&serde_json::to_vec(&head)?, 6)?;
        let mut blocks = vec![Block { name: "head", bytes: head }];
        // Compression takes most of the time, so it uses all cores.
        let compressed: Vec<io::Result<Vec<u8>>> = std::thread::scope(|scope| {
            let threads: Vec<_> = columns
                .iter()
                .map(|column| {
                    let level = if column.name.starts_with("id_") { ID_LEVEL } else { LEVEL };
                    scope.spawn(move || compress(&column.planes.bytes, level))
                })
                .collect();
            let stopped = || io::Error::other("a thread stopped");
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(stopped()))).collect()
        });
        for (column, bytes) in columns.iter().zip(compressed) {
            blocks.push(Block { name: column.name, bytes: bytes? });
        }
        Ok(blocks)
    }

    /// The rows, grouped by sequence. Within one, rows with a time come in its order.
    fn order(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..u32::try_from(self.len()).unwrap_or(u32::MAX)).collect();
        let key = |row: &u32| (self.sequence[*row as usize], self.time[*row as usize]);
        if !order.is_sorted_by_key(key) {
            order.sort_by_key(key);
        }
        order
    }

    fn columns(&self, order: &[u32], with_ids: bool) -> Vec<Column> {
        let column = |name, value: &dyn Fn(usize) -> u32, is_difference| {
            Column::new(name, order.iter().map(|row| value(*row as usize)), is_difference)
        };
        let ranked = |ranks: Vec<u32>, numbers: &'_ [u32], name| {
            column(name, &|row| ranks[numbers[row] as usize], true)
        };
        let mut columns = vec![
            column("x", &|row| self.x[row], true),
            column("y", &|row| self.y[row], true),
            column("time", &|row| self.time[row], true),
            column("heading", &|row| u32::from(self.heading[row]), true),
            column("quality", &|row| u32::from(self.quality[row]), false),
            column("kind", &|row| u32::from(self.kind[row]), false),
            column("sequence", &|row| self.sequence[row], true),
            ranked(self.owners.by_count().0, &self.owner, "owner"),
            ranked(self.organizations.by_count().0, &self.organization, "organization"),
            ranked(self.cameras.by_count().0, &self.camera, "camera"),
        ];
        if with_ids {
            #[expect(clippy::cast_possible_truncation, reason = "the halves of a number")]
            let half = |name, shift: u32| column(name, &|row| (self.id[row] >> shift) as u32, false);
            columns.extend([half("id_low", 0), half("id_high", 32)]);
            if !self.pictures.is_empty() {
                columns.push(column("picture", &|row| self.pictures.number(self.id[row]), true));
            }
        }
        columns
    }

    fn head(&self, columns: &[Column], with_ids: bool, extra: &Value) -> Value {
        let columns: Vec<_> = columns
            .iter()
            .map(|column| {
                json!({
                    "name": column.name,
                    "planes": column.planes.count,
                    "difference": column.is_difference,
                    "max": column.max,
                    "rows": column.rows,
                })
            })
            .collect();
        let ranked = |order: Vec<u32>| order.into_iter().map(|number| number as usize);
        let owners: Vec<_> = ranked(self.owners.by_count().1)
            .map(|number| {
                let (id, name) = &self.owners.keys()[number];
                json!([shown(id), shown(name)])
            })
            .collect();
        let organizations: Vec<_> = ranked(self.organizations.by_count().1)
            .map(|number| shown(&self.organizations.keys()[number]))
            .collect();
        let cameras: Vec<_> = ranked(self.cameras.by_count().1)
            .map(|number| shown(&self.cameras.keys()[number].replace('\0', " ")))
            .collect();
        let sequences = if with_ids { self.sequences.keys() } else { &[] };
        let other_ids = if with_ids { self.other_ids.as_slice() } else { &[] };
        json!({
            "version": 1,
            "rows": self.len(),
            "unplaced": self.unplaced,
            "columns": columns,
            "missing": { "time": NO_TIME, "heading": NO_HEADING, "quality": NO_QUALITY },
            "first_other_id": FIRST_OTHER_ID.to_string(),
            "other_ids": other_ids,
            "sequences": sequences,
            "sequence_count": self.sequences.keys().len(),
            "owners": owners,
            "organizations": organizations,
            "cameras": cameras,
            "pictures": if with_ids { self.pictures.json() } else { json!([]) },
            "detections": self.detections.json(),
            "features": self.features.json(),
            "page": extra,
        })
    }
}
