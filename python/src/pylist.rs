//! Rows of a batch as Python dictionaries, for programs without an Arrow library.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMillisecondType};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDateTime, PyDict, PyList, PyString, PyTzInfo};

/// Returns the rows as dictionaries.
pub(crate) fn rows<'py>(py: Python<'py>, batch: &RecordBatch) -> PyResult<Bound<'py, PyList>> {
    let schema = batch.schema();
    let names: Vec<_> = schema.fields().iter().map(|field| PyString::intern(py, field.name())).collect();
    let rows = PyList::empty(py);
    for row in 0..batch.num_rows() {
        let dict = PyDict::new(py);
        for (name, column) in names.iter().zip(batch.columns()) {
            dict.set_item(name, value(py, column, row)?)?;
        }
        rows.append(dict)?;
    }
    Ok(rows)
}

/// Returns one value: text, number, truth value, time in UTC, bytes, or a list of them.
fn value<'py>(py: Python<'py>, array: &ArrayRef, row: usize) -> PyResult<Bound<'py, PyAny>> {
    if array.is_null(row) {
        return Ok(py.None().into_bound(py));
    }
    Ok(match array.data_type() {
        DataType::Utf8 => PyString::new(py, array.as_string::<i32>().value(row)).into_any(),
        DataType::LargeUtf8 => PyString::new(py, array.as_string::<i64>().value(row)).into_any(),
        DataType::Utf8View => PyString::new(py, array.as_string_view().value(row)).into_any(),
        DataType::Binary => PyBytes::new(py, array.as_binary::<i32>().value(row)).into_any(),
        DataType::LargeBinary => PyBytes::new(py, array.as_binary::<i64>().value(row)).into_any(),
        DataType::Boolean => array.as_boolean().value(row).into_pyobject(py)?.to_owned().into_any(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into_pyobject(py)?.into_any(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into_pyobject(py)?.into_any(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).into_pyobject(py)?.into_any(),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            time(py, array.as_primitive::<TimestampMillisecondType>().value(row))?
        }
        DataType::List(_) => {
            let values = array.as_list::<i32>().value(row);
            let list = PyList::empty(py);
            for row in 0..values.len() {
                list.append(value(py, &values, row)?)?;
            }
            list.into_any()
        }
        other => return Err(PyTypeError::new_err(format!("no Python value for {other}"))),
    })
}

/// Returns a time in UTC. Milliseconds become microseconds without loss.
#[expect(clippy::cast_precision_loss, reason = "seconds and milliseconds are converted apart")]
fn time(py: Python<'_>, millis: i64) -> PyResult<Bound<'_, PyAny>> {
    let utc = PyTzInfo::utc(py)?;
    let seconds = PyDateTime::from_timestamp(py, millis.div_euclid(1000) as f64, Some(&utc.to_owned()))?;
    let rest = u32::try_from(millis.rem_euclid(1000)).unwrap_or_default() * 1000;
    let replaced = PyDict::new(py);
    replaced.set_item("microsecond", rest)?;
    seconds.call_method("replace", (), Some(&replaced))
}
