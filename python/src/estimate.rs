//! `streetflow.estimate`.

use std::sync::Arc;

use futures::TryStreamExt;
use pyo3::prelude::*;

use crate::client::Client;
use crate::counts::Counts;
use crate::errors::Failure;
use crate::events::Events;
use crate::query::counted;
use crate::records::sequences;
use crate::report::Report;
use crate::task::run_to_end;
use streetflow::{Class, Query, Result};

/// What the tiles of a query tell: sequences, images, tiles requested, tiles from the cache.
type Found = (u64, u64, u64, u64);

/// Reads the tiles of a query. Returns the counts, or `None` for a query that reads no tiles.
#[pyfunction]
pub(crate) fn estimate(
    py: Python<'_>,
    text: &str,
    client: &Client,
    report: Py<Report>,
    run: Py<PyAny>,
) -> PyResult<Option<Found>> {
    let query = Query::from_json(text).map_err(Failure::from)?;
    if !query.reads_tiles() {
        return Ok(None);
    }
    let (events, counts) = (Arc::clone(&client.events), Arc::clone(&report.get().counts));
    let work = count(query, client.get()?.clone(), events, counts);
    Ok(Some(run_to_end(py, work, &report, &run)?))
}

async fn count(
    query: Query,
    client: streetflow::Client,
    events: Arc<Events>,
    counts: Arc<Counts>,
) -> Result<Found> {
    let tally = &events.tally;
    let values = || [tally.tile_images(), tally.requests(Class::Tile), tally.tile_cache_hits()];
    let before = values();
    // A failed tile makes the estimate too small, and is counted.
    let mut flow = counted(sequences(query, client).await?, &counts, true);
    let mut found = 0;
    while flow.try_next().await?.is_some() {
        found += 1;
        counts.add_records(1);
    }
    let after = values();
    let [images, tiles, cached] = [0, 1, 2].map(|at| after[at] - before[at]);
    Ok((found, images, tiles, cached))
}
