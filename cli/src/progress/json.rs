//! The counts of a run as JSON: for `--progress json` and for `report.json`.

use serde_json::{Map, Value, json};

use crate::progress::stats::{RunStats, StepStats};
use crate::progress::view::ProgressView;
use crate::step::reads_tiles;
use streetflow::Class;

/// The counts of each step, by its name.
pub(crate) fn steps(stats: &RunStats) -> Map<String, Value> {
    stats.steps.iter().map(|step| (step.step.to_string(), step_counts(step))).collect()
}

fn step_counts(step: &StepStats) -> Value {
    let counts = step.counts();
    let filtered_by: Map<_, _> =
        step.filtered_by().into_iter().map(|(name, count)| (name.to_owned(), count.into())).collect();
    let mut json = json!({
        "unit": step.unit().1,
        "inputs": counts.inputs,
        "done": counts.done,
        "already_exists": counts.already_exists,
        "pruned": counts.pruned,
        "filtered": counts.filtered,
        "over_limit": counts.over_limit,
        "gone": counts.gone,
        "failed": counts.failed,
        "not_reached": counts.not_reached,
        "rows": counts.rows,
        "filtered_by": filtered_by,
    });
    let findings = step.findings.all();
    if !findings.is_empty() {
        json["findings"] = json!(findings);
    }
    json
}

/// The counts of each class of requests, by its name.
pub(crate) fn requests(stats: &RunStats) -> Map<String, Value> {
    let tally = &stats.tally;
    let counts = |class: Class| {
        let counts = json!({
            "sent": tally.requests(class),
            "retries": tally.retries_for(class),
            "bytes": tally.bytes(class),
            "from_store": tally.store_hits(class),
            "from_cache": if class == Class::Tile { tally.tile_cache_hits() } else { 0 },
            "rate_limited": tally.rate_limited(class),
            "rate_limit_waits": tally.rate_limit_waits(class),
            "blocked": tally.blocked(class),
        });
        (class.to_string(), counts)
    };
    Class::ALL.into_iter().map(counts).collect()
}

/// The content of a `progress` object.
pub(crate) fn progress(view: &ProgressView<'_>) -> Value {
    let mut steps = steps(view.stats);
    for (index, step) in view.stats.steps.iter().enumerate() {
        let rate = view.step_rate(index);
        if let Some(step) = steps.get_mut(step.step.name()).and_then(Value::as_object_mut) {
            step.insert("per_second".to_owned(), hundredths(rate.per_second).into());
            step.insert("total".to_owned(), rate.total.into());
            step.insert("total_is_final".to_owned(), rate.total_is_final.into());
            let seconds_left =
                if step_is_walk(view, index) { view.walk_seconds_left() } else { rate.seconds_left };
            step.insert("seconds_left".to_owned(), seconds_left.map(hundredths).into());
        }
    }
    let tiles = &view.stats.tiles;
    json!({
        "seconds": hundredths(view.elapsed().as_secs_f64()),
        "steps": steps,
        "requests": requests(view.stats),
        "seconds_left": view.seconds_left().map(hundredths),
        "walk": {
            "tiles_read": tiles.read(),
            "tiles_expected": tiles.expected(),
            "share": tiles.share().map(|share| (share * 1e4).round() / 1e4),
            "seconds_left": view.walk_seconds_left().map(hundredths),
        },
        "bytes_per_second": view.bytes_per_second().round(),
        "uploaded_bytes": view.stats.uploaded(),
        "waits": view.waits(),
    })
}

fn step_is_walk(view: &ProgressView<'_>, index: usize) -> bool {
    reads_tiles(view.stats.steps[index].step)
}

fn hundredths(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}
