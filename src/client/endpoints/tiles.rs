//! Vector tiles: from the store, from the cache, from the network.

use std::io::Read;

use bytes::Bytes;

use crate::client::MIB;
use crate::client::cache::response_cache::Keeping;
use crate::client::class::Class;
use crate::client::handle::{Client, below, in_task};
use crate::client::transport::send::Ask;
use crate::error::{Error, ErrorKind, Result};
use crate::geo::TileId;
use crate::observe::Event;

impl Client {
    /// The bytes of a vector tile of `mly1_public`, uncompressed; empty where nothing is.
    pub async fn tile(&self, tile: TileId) -> Result<Vec<u8>> {
        self.tile_as(tile, |bytes| Ok(bytes.to_vec()), |_| true).await
    }

    /// A tile as `parse` reads it; bytes that can't be read are asked for again.
    ///
    /// A tile that is not `whole` is used, but neither kept nor taken from what is kept: the next run asks again.
    pub(crate) async fn tile_as<T: Send + 'static>(
        &self,
        tile: TileId,
        parse: impl Fn(&[u8]) -> Result<T> + Send + Sync + 'static,
        whole: fn(&T) -> bool,
    ) -> Result<T> {
        let url = below(&self.0.tiles_url, &format!("/maps/vtp/mly1_public/2/{tile}"))?;
        let ask =
            Ask { class: Class::Tile, url: url.clone(), doing: "read the tile", subject: tile.to_string() };
        let client = self.clone();
        in_task(async move {
            let key = format!("tile {tile}");
            if let Some(body) = client.kept(&key).await
                && let Ok(parsed) = parse(&body)
                && whole(&parsed)
            {
                client.tell(&Event::StoreHit { class: Class::Tile });
                return Ok(parsed);
            }
            if let Some(body) = client.cached(&url, tile).await
                && let Ok(parsed) = parse(&body)
                && whole(&parsed)
            {
                client.tell(&Event::TileCacheHit { tile });
                client.keep(Keeping::new(key, body.into())).await?;
                return Ok(parsed);
            }
            let asking = client.clone();
            let answered = client.ask(ask, move |body| {
                let body = asking.unzip(body)?;
                let parsed = parse(&body)?;
                let keeping = whole(&parsed).then(|| Keeping::new(key.clone(), body.clone()));
                Ok(((parsed, body), keeping))
            });
            let (parsed, body) = answered.await?;
            if whole(&parsed) {
                client.cache(&url, tile, body).await;
            }
            Ok(parsed)
        })
        .await
    }

    /// A tile's bytes, unpacked where need be, without the token.
    fn unzip(&self, body: Bytes) -> Result<Bytes> {
        let body = unzip(body)?;
        Ok(match &self.0.token {
            Some(token) => token.cut_tile(body),
            None => body,
        })
    }
}

/// Some clients met gzip that no header announced.
pub(crate) fn unzip(body: Bytes) -> Result<Bytes> {
    if !body.starts_with(&[0x1f, 0x8b]) {
        return Ok(body);
    }
    let limit = 64 * MIB;
    let mut plain = Vec::new();
    flate2::read::MultiGzDecoder::new(&body[..])
        .take(limit as u64 + 1)
        .read_to_end(&mut plain)
        .map_err(|error| Error::new(ErrorKind::Malformed, "").with_source(error))?;
    if plain.len() > limit {
        return Err(Error::new(ErrorKind::Rejected, "").with_source("the tile unpacks to more than 64 MiB"));
    }
    Ok(plain.into())
}
