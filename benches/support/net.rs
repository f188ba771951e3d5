//! A sandbox and clients of it.

use futures::{StreamExt, TryStreamExt, stream};
use streetflow::{Client, ClientBuilder, FetchMetadata, Image, ImageId, Metadata, SequenceId, Stage, Token};
use streetflow_sandbox::{Sandbox, World};

/// What a client of the sandbox is made of.
pub(crate) fn client(sandbox: &Sandbox, concurrency: usize) -> ClientBuilder {
    let builder = Client::builder().graph_url(sandbox.graph_url()).tiles_url(sandbox.tiles_url());
    builder.token(Token::new(Sandbox::TOKEN).unwrap()).concurrency(concurrency)
}

/// The first images of a world.
pub(crate) fn images(world: &World, count: usize) -> Vec<Image> {
    let shots = world.sequences().iter().flat_map(|drive| {
        let seq_id = SequenceId::new(drive.id()).unwrap();
        world
            .images_of(drive)
            .map(move |shot| Image { seq_id: seq_id.clone(), img_id: ImageId::new(&shot.id()).unwrap() })
    });
    shots.take(count).collect()
}

/// The metadata of so many images that have a picture.
pub(crate) async fn metadata(sandbox: &Sandbox, count: usize) -> Vec<Metadata> {
    let images = images(sandbox.world(), count + count / 10).into_iter().map(Ok);
    let records: Vec<Metadata> = FetchMetadata::new(&client(sandbox, 64).build().unwrap())
        .apply(stream::iter(images.collect::<Vec<_>>()).boxed())
        .try_collect()
        .await
        .unwrap();
    records.into_iter().filter(|record| record.thumb_256_url.is_some()).take(count).collect()
}
