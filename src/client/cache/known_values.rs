//! The values of a record as bytes.

use std::io;

use crate::model::FieldList;
use crate::record::{Column, Kind, Record, Value};

/// Appends the keys and the values of some fields.
pub(super) fn write_record<T: Record>(record: &T, fields: &FieldList<T>, to: &mut Vec<u8>) {
    columns(fields).for_each(|column| write_value(&(column.get)(record), to));
}

/// Reads the records that [`write_record`] wrote one after the other for the same fields.
pub(super) fn read_records<T: Record>(mut bytes: &[u8], fields: &FieldList<T>) -> io::Result<Vec<T>> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let mut record = T::default();
        for column in columns(fields) {
            let value = read_value(&mut bytes).ok_or_else(damaged)?;
            if !matches!(value, Value::Null) {
                (column.set)(&mut record, value).map_err(|_| damaged())?;
            }
        }
        records.push(record);
    }
    Ok(records)
}

/// The keys and the columns of some fields.
fn columns<T: Record>(fields: &FieldList<T>) -> impl Iterator<Item = &'static Column<T>> {
    let is_used = |column: &&Column<T>| column.field.is_none_or(|field| fields.names().contains(&field));
    T::COLUMNS.iter().filter(is_used)
}

fn damaged() -> io::Error {
    io::Error::other("it is damaged")
}

fn write_value(value: &Value<'_>, to: &mut Vec<u8>) {
    match value {
        Value::Null => to.push(0),
        Value::Text(text) => {
            to.push(1);
            write_bytes(text.as_bytes(), to);
        }
        Value::Integer(number) => {
            to.push(2);
            to.extend(number.to_le_bytes());
        }
        Value::Time(time) => {
            to.push(3);
            to.extend(time.to_le_bytes());
        }
        Value::Float(number) => {
            to.push(4);
            to.extend(number.to_le_bytes());
        }
        Value::Bool(value) => to.extend([5, u8::from(*value)]),
        Value::Floats(numbers) => {
            to.push(6);
            write_len(numbers.len(), to);
            numbers.iter().for_each(|number| to.extend(number.to_le_bytes()));
        }
        Value::Texts(texts) => {
            to.push(7);
            write_len(texts.len(), to);
            texts.iter().for_each(|text| write_bytes(text.as_bytes(), to));
        }
        Value::Polygons(polygons) => {
            to.push(8);
            write_bytes(polygons.to_string().as_bytes(), to);
        }
    }
}

fn write_bytes(bytes: &[u8], to: &mut Vec<u8>) {
    write_len(bytes.len(), to);
    to.extend(bytes);
}

fn write_len(len: usize, to: &mut Vec<u8>) {
    to.extend((len as u64).to_le_bytes());
}

fn read_value<'a>(from: &mut &'a [u8]) -> Option<Value<'a>> {
    Some(match read_array::<1>(from)? {
        [0] => Value::Null,
        [1] => Value::Text(read_text(from)?.into()),
        [2] => Value::Integer(i32::from_le_bytes(read_array(from)?)),
        [3] => Value::Time(i64::from_le_bytes(read_array(from)?)),
        [4] => Value::Float(f64::from_le_bytes(read_array(from)?)),
        [5] => Value::Bool(read_array(from)? != [0]),
        [6] => {
            let numbers = (0..read_len(from)?).map(|_| Some(f64::from_le_bytes(read_array(from)?)));
            Value::Floats(numbers.collect::<Option<Vec<_>>>()?.into())
        }
        [7] => {
            let texts = (0..read_len(from)?).map(|_| Some(read_text(from)?.to_owned()));
            Value::Texts(texts.collect::<Option<Vec<_>>>()?.into())
        }
        [8] => Kind::Polygons.parse(read_text(from)?).ok()?,
        _ => return None,
    })
}

fn read_text<'a>(from: &mut &'a [u8]) -> Option<&'a str> {
    let len = read_len(from)?;
    let (text, rest) = from.split_at_checked(len)?;
    *from = rest;
    std::str::from_utf8(text).ok()
}

fn read_len(from: &mut &[u8]) -> Option<usize> {
    u64::from_le_bytes(read_array(from)?).try_into().ok()
}

fn read_array<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (array, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*array)
}
