//! Vector tiles: from the store, from the cache, from the network.

use std::io::Read;

use bytes::Bytes;
use url::Url;

use crate::client::MIB;
use crate::client::cache::response_cache::Keeping;
use crate::client::class::Class;
use crate::client::handle::{Client, below, in_task};
use crate::client::transport::retry::Patience;
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
        parse: impl Fn(&[u8]) -> Result<T> + Clone + Send + Sync + 'static,
        whole: fn(&T) -> bool,
    ) -> Result<T> {
        match self.tile_kept(tile, parse.clone(), whole).await? {
            Some(parsed) => Ok(parsed),
            None => self.tile_sent(tile, parse, whole, false).await,
        }
    }

    /// Whether the client has a response store or a tile cache.
    pub(crate) fn keeps_tiles(&self) -> bool {
        self.0.kept.is_some() || self.0.tile_cache.is_some()
    }

    /// Returns a tile from the response store of an unfinished run or from the tile cache.
    pub(crate) async fn tile_kept<T: Send + 'static>(
        &self,
        tile: TileId,
        parse: impl Fn(&[u8]) -> Result<T> + Send + Sync + 'static,
        whole: fn(&T) -> bool,
    ) -> Result<Option<T>> {
        if !self.keeps_tiles() {
            return Ok(None);
        }
        let (url, client) = (self.tile_url(tile)?, self.clone());
        in_task(async move {
            let key = key(tile);
            if let Some(body) = client.kept(&key).await
                && let Ok(parsed) = parse(&body)
                && whole(&parsed)
            {
                client.tell(&Event::StoreHit { class: Class::Tile });
                return Ok(Some(parsed));
            }
            if let Some(body) = client.cached(&url, tile).await
                && let Ok(parsed) = parse(&body)
                && whole(&parsed)
            {
                client.tell(&Event::TileCacheHit { tile });
                client.keep(Keeping::new(key, body.into())).await?;
                return Ok(Some(parsed));
            }
            Ok(None)
        })
        .await
    }

    /// Waits until the rate limit allows a tile request. The caller chooses the tile afterwards.
    pub(crate) async fn tile_turn(&self) -> Result<()> {
        let client = self.clone();
        // In a separate task: the wait holds a lock, which a slow consumer must not prolong.
        in_task(async move {
            let class = Class::Tile;
            let turn = client.lane(class).turn(|wait| client.tell(&Event::RateLimitWait { class, wait }));
            tokio::select! {
                () = turn => {}
                () = client.0.stop.cancelled() => {}
            }
            Ok(())
        })
        .await
    }

    /// Requests a tile. `has_turn` means that the caller has waited for [`Client::tile_turn`].
    pub(crate) async fn tile_sent<T: Send + 'static>(
        &self,
        tile: TileId,
        parse: impl Fn(&[u8]) -> Result<T> + Send + Sync + 'static,
        whole: fn(&T) -> bool,
        has_turn: bool,
    ) -> Result<T> {
        let url = self.tile_url(tile)?;
        let ask =
            Ask { class: Class::Tile, url: url.clone(), doing: "read the tile", subject: tile.to_string() };
        let patience = Patience { has_turn, ..Patience::default() };
        let client = self.clone();
        in_task(async move {
            let (key, asking) = (key(tile), client.clone());
            let answered = client.ask_patiently(ask, patience, move |body| {
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

    fn tile_url(&self, tile: TileId) -> Result<Url> {
        below(&self.0.tiles_url, &format!("/maps/vtp/mly1_public/2/{tile}"))
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

/// The key of a tile in the response store.
fn key(tile: TileId) -> String {
    format!("tile {tile}")
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
