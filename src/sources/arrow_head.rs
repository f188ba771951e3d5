//! What tables of Arrow and of Parquet have in common: the columns that fill a record, and the geometry.

use arrow_schema::Fields;

use super::messages::TableInfo;
use crate::error::Result;
use crate::record::arrow::Columns;
use crate::record::arrow::geo::is_box;
use crate::record::{Column, GeometryReader, Record};

/// The geometry column of a table, or why it can't be used.
pub(super) type Geometry = std::result::Result<Option<String>, String>;

/// The columns of a table and the columns of the record that they fill.
pub(super) struct ArrowHead<T: 'static> {
    pub(super) table: TableInfo,
    pub(super) columns: Columns<T>,
    fields: Fields,
    geometry: Geometry,
}

impl<T: Record> ArrowHead<T> {
    /// Checks the header. A missing required column, or a geometry that can't be used, is an error of kind `Usage`.
    pub(super) fn new(mut table: TableInfo, fields: Fields, geometry: Geometry) -> Result<Self> {
        table.header = fields.iter().map(|field| field.name().clone()).collect();
        table.check_header::<T>()?;
        let name = if GeometryReader::<T>::new().is_some() {
            geometry.clone().map_err(|why| table.error(&why))?
        } else {
            None
        };
        Ok(Self { columns: Columns::new(&table.header, name), table, fields, geometry })
    }

    pub(super) fn retype<U: Record>(self) -> Result<ArrowHead<U>> {
        ArrowHead::new(self.table, self.fields, self.geometry)
    }

    /// The name of the geometry column.
    pub(super) fn geometry(&self) -> Option<&str> {
        self.geometry.as_ref().ok()?.as_deref()
    }

    /// The columns that fill no column of the record, without bounding boxes.
    pub(super) fn unread(&self) -> Vec<String> {
        let unread = self.fields.iter().filter(|field| !self.columns.reads(field.name()) && !is_box(field));
        unread.map(|field| field.name().clone()).collect()
    }

    /// Whether the table can give a column of the record a value.
    pub(super) fn fills(&self, column: &Column<T>) -> bool {
        self.columns.fills(column)
    }
}
