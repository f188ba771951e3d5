//! A custom source: the sequences of a text file with one id per line.
//!
//! Reads sequences.txt; needs `MAPILLARY_TOKEN` in the environment.

#![allow(clippy::print_stdout, reason = "an example")]

use futures::StreamExt;
use streetflow::{
    Client, CsvSink, Error, ErrorKind, Flow, ListImages, OnError, RecordStream, Result, Sequence, SequenceId,
    Source,
};

struct Lines(String);

impl Source for Lines {
    type Item = Sequence;

    fn stream(self) -> RecordStream<Sequence> {
        let ids: Vec<_> = self.0.lines().map(SequenceId::new).collect();
        futures::stream::iter(ids).map(|id| Ok(Sequence { org_id: None, seq_id: id? })).boxed()
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let client = Client::from_env()?;
    let text = std::fs::read_to_string("sequences.txt").map_err(|error| {
        Error::new(ErrorKind::Usage, "read").with_subject("sequences.txt").with_source(error)
    })?;

    let report = Flow::from(Lines(text))
        .then(ListImages::new(&client))
        .on_error(OnError::Skip)
        .into_sink(CsvSink::create("outputs/img_dataset.csv"))
        .await?;
    println!("{} images of the listed sequences, {} sequences gone", report.records, report.gone);
    Ok(())
}
