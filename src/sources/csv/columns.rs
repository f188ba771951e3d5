//! Columns from CSV files, without records.

use super::{CsvSource, RecordStream, Target};
use crate::geo::LonLat;
use crate::record::arrow::{BlockBuilder, ColumnBlock};
use crate::record::{Column, GeometryReader, Record, Value, check_points, store_degrees};
use crate::sources::BLOCK_LEN;
use crate::sources::column_channel::{ColumnSender, columns_from_thread};

impl<T: Record> CsvSource<T> {
    /// The columns `wanted` in blocks. All columns of the record are checked. The first error is the last item.
    pub(in crate::sources) fn column_blocks(
        self,
        wanted: Vec<&'static Column<T>>,
    ) -> RecordStream<Vec<ColumnBlock<T>>> {
        columns_from_thread(self.table.clone(), move |sender| self.send_columns(wanted, sender))
    }

    /// Sends all rows.
    fn send_columns(mut self, wanted: Vec<&'static Column<T>>, sender: &mut ColumnSender<T>) {
        let block = BlockBuilder::new(wanted, |column| self.fills(column));
        let mut rows = BlockRows::new(block, &self.columns, sender.id_column());
        let mut is_first = true;
        loop {
            let row = match self.next_row(&mut is_first) {
                Ok(Some(row)) => row,
                Ok(None) => break,
                Err(error) => {
                    sender.fail(error);
                    return;
                }
            };
            if let Err(error) = self.read(&mut rows, &row) {
                sender.fail(error);
                return;
            }
            if !sender.observe_id(&rows.id)
                || (rows.block.len() == BLOCK_LEN && !sender.send(rows.block.take()))
            {
                return;
            }
        }
        if rows.block.len() > 0 {
            sender.send(rows.block.take());
        }
    }
}

/// One of the coordinates of a point.
type Half = fn(&mut LonLat) -> &mut f64;

/// Where the value of a cell goes.
#[derive(Clone, Copy, Default)]
struct Place {
    /// The index of the column in the block.
    column: Option<usize>,
    /// The index of the point, and which of its coordinates the value is.
    degrees: Option<(usize, Half)>,
    is_id: bool,
}

/// The rows of a block, filled cell by cell.
struct BlockRows<T: 'static> {
    block: BlockBuilder<T>,
    /// The place of each cell of a row.
    places: Vec<Place>,
    /// The points of the current row.
    points: Vec<Option<LonLat>>,
    /// The id of the image of the current row.
    id: String,
}

impl<T: Record> BlockRows<T> {
    fn new(
        block: BlockBuilder<T>,
        columns: &[Option<&'static Column<T>>],
        id_column: Option<&'static str>,
    ) -> Self {
        let names = GeometryReader::<T>::new().map(|reader| reader.names()).unwrap_or_default();
        let degrees = |name: &str| {
            let index = names.iter().position(|names| names.contains(&name))?;
            let half: Half =
                if names[index][0] == name { |point| &mut point.lon } else { |point| &mut point.lat };
            Some((index, half))
        };
        let place = |column: Option<&'static Column<T>>| {
            column.map_or_else(Place::default, |column| Place {
                column: block.index(column.name),
                degrees: degrees(column.name),
                is_id: id_column == Some(column.name),
            })
        };
        let places = columns.iter().copied().map(place).collect();
        Self { block, places, points: vec![None; names.len()], id: String::new() }
    }
}

impl<T: Record> Target<T> for BlockRows<T> {
    fn set(
        &mut self,
        cell: usize,
        column: &'static Column<T>,
        value: Value<'_>,
    ) -> std::result::Result<(), &'static str> {
        let value = column.checked(value)?;
        let place = self.places[cell];
        if let Some(index) = place.column {
            self.block.push(index, &value);
        }
        if place.is_id {
            self.id.clear();
            if let Value::Text(id) = &value {
                self.id.push_str(id);
            }
        }
        if let Some((index, half)) = place.degrees {
            store_degrees(&mut self.points[index], value, half)?;
        }
        Ok(())
    }

    fn end(&mut self) -> std::result::Result<(), &'static str> {
        check_points(self.points.iter_mut().map(std::mem::take))?;
        self.block.end_row();
        Ok(())
    }
}
