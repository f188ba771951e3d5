//! Clients of the mock server, and their records.

use futures::{StreamExt, TryStreamExt, stream};
use streetflow::{Client, ClientBuilder, FetchMetadata, Image, ImageId, Metadata, SequenceId, Stage, Token};
use streetflow_sandbox::{MockData, Sandbox};

/// Returns the builder of a client of the mock server.
pub(crate) fn client(sandbox: &Sandbox, concurrency: usize) -> ClientBuilder {
    let builder = Client::builder().graph_url(sandbox.graph_url()).tiles_url(sandbox.tiles_url());
    builder.token(Token::new(Sandbox::TOKEN).unwrap()).concurrency(concurrency)
}

/// Returns the first images of the mock data.
pub(crate) fn images(data: &MockData, count: usize) -> Vec<Image> {
    let images = data.sequences().iter().flat_map(|sequence| {
        let seq_id = SequenceId::new(sequence.id()).unwrap();
        sequence
            .images()
            .map(move |image| Image { seq_id: seq_id.clone(), img_id: ImageId::new(&image.id()).unwrap() })
    });
    images.take(count).collect()
}

/// Returns the metadata of images with a picture.
pub(crate) async fn metadata(sandbox: &Sandbox, count: usize) -> Vec<Metadata> {
    let images = images(sandbox.mock_data(), count + count / 10).into_iter().map(Ok);
    let records: Vec<Metadata> = FetchMetadata::new(&client(sandbox, 64).build().unwrap())
        .apply(stream::iter(images.collect::<Vec<_>>()).boxed())
        .try_collect()
        .await
        .unwrap();
    records.into_iter().filter(|record| record.thumb_256_url.is_some()).take(count).collect()
}
