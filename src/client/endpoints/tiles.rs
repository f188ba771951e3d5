//! Vector tiles, from the response store, the tile cache or the network.

use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::spawn_blocking;
use url::Url;

use super::fetch::in_task;
use super::tileset::{TileAddress, Tileset};
use super::url::endpoint_url;
use crate::client::cache::response_cache::CacheEntry;
use crate::client::handle::Client;
use crate::client::transport::request::ApiRequest;
use crate::client::transport::retry::RetryOverride;
use crate::error::{Error, ErrorKind, Result};
use crate::geo::TileId;
use crate::observe::{Class, Event};

/// The largest unpacked tile, in bytes.
const MAX_TILE_LEN: usize = 64 << 20;

impl Client {
    /// Fetches a vector tile of `mly1_public`, uncompressed. A tile without data is empty.
    pub async fn tile(&self, tile: TileId) -> Result<Vec<u8>> {
        self.tile_of(Tileset::Images, tile).await
    }

    /// Fetches a vector tile of any tileset, uncompressed. A tile without data is empty.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use streetflow::client::Tileset;
    /// use streetflow::{LonLat, TileId};
    /// use streetflow_sandbox::Sandbox;
    ///
    /// let sandbox = Sandbox::start().await?;
    /// let nicosia = TileId::containing(LonLat { lon: 33.3623, lat: 35.1712 }, 14);
    /// let signs = sandbox.client()?.tile_of(Tileset::TrafficSigns, nicosia).await?;
    /// assert_eq!(streetflow::sources::tile_layers(&signs)?.last().map(|layer| layer.name.as_str()), Some("traffic_sign"));
    /// # Ok(()) }
    /// ```
    pub async fn tile_of(&self, tileset: Tileset, tile: TileId) -> Result<Vec<u8>> {
        self.parsed_tile((tileset, tile), |bytes| Ok(bytes.to_vec()), |_| true).await
    }

    /// Fetches and parses a tile. A tile that can't be parsed is requested again.
    ///
    /// A tile that is not complete according to `is_complete` is used but neither stored nor read from disk, so that the
    /// next run requests it again.
    pub(crate) async fn parsed_tile<T: Send + 'static>(
        &self,
        tile: impl Into<TileAddress>,
        parse: impl Fn(&[u8]) -> Result<T> + Clone + Send + Sync + 'static,
        is_complete: fn(&T) -> bool,
    ) -> Result<T> {
        let tile = tile.into();
        match self.stored_tile(tile, parse.clone(), is_complete).await? {
            Some(parsed) => Ok(parsed),
            None => self.requested_tile(tile, parse, is_complete, false).await,
        }
    }

    /// Whether the client has a response store or a tile cache.
    pub(crate) fn stores_tiles(&self) -> bool {
        self.shared.response_cache.is_some() || self.shared.tile_cache.is_some()
    }

    /// Returns a parsed tile from the response store of an unfinished run or from the tile cache.
    pub(crate) async fn stored_tile<T: Send + 'static>(
        &self,
        tile: impl Into<TileAddress>,
        parse: impl Fn(&[u8]) -> Result<T> + Send + Sync + 'static,
        is_complete: fn(&T) -> bool,
    ) -> Result<Option<T>> {
        let address = tile.into();
        let tile = address.tile;
        if !self.stores_tiles() {
            return Ok(None);
        }
        let (url, client) = (self.tile_url(address)?, self.clone());
        in_task(async move {
            let key = address.key();
            if let Some(body) = client.stored(&key).await
                && let Ok(parsed) = parse(&body)
                && is_complete(&parsed)
            {
                client.emit(&Event::StoreHit { class: Class::Tile });
                return Ok(Some(parsed));
            }
            if let Some(body) = client.cached_tile(&url, tile).await
                && let Ok(parsed) = parse(&body)
                && is_complete(&parsed)
            {
                client.emit(&Event::TileCacheHit { tile });
                client.store(CacheEntry::new(key, body)).await?;
                return Ok(Some(parsed));
            }
            Ok(None)
        })
        .await
    }

    /// Waits until the rate limit allows a tile request. The caller chooses the tile afterwards.
    pub(crate) async fn tile_turn(&self) -> Result<()> {
        let transport = Arc::clone(&self.shared.transport);
        // In a separate task: the wait holds a lock, which a slow consumer must not prolong.
        in_task(async move {
            tokio::select! {
                () = transport.acquire_rate(Class::Tile) => {}
                () = transport.stop.cancelled() => {}
            }
            Ok(())
        })
        .await
    }

    /// Requests and parses a tile. `has_turn` means that the caller has waited for [`Client::tile_turn`].
    pub(crate) async fn requested_tile<T: Send + 'static>(
        &self,
        tile: impl Into<TileAddress>,
        parse: impl Fn(&[u8]) -> Result<T> + Send + Sync + 'static,
        is_complete: fn(&T) -> bool,
        has_turn: bool,
    ) -> Result<T> {
        let address = tile.into();
        let tile = address.tile;
        let url = self.tile_url(address)?;
        let request = ApiRequest {
            class: Class::Tile,
            url: url.clone(),
            doing: "read the tile",
            subject: address.subject(),
        };
        let retry = RetryOverride { has_turn, ..RetryOverride::default() };
        let client = self.clone();
        in_task(async move {
            let (key, sender) = (address.key(), client.clone());
            let fetched = client.fetch(request, retry, move |body| {
                let body = sender.unpack(body)?;
                let parsed = parse(&body)?;
                let entry = is_complete(&parsed).then(|| CacheEntry::new(key.clone(), body.clone()));
                Ok(((parsed, body), entry))
            });
            let (parsed, body) = fetched.await?;
            if is_complete(&parsed) {
                client.cache_tile(&url, tile, body).await;
            }
            Ok(parsed)
        })
        .await
    }

    fn tile_url(&self, address: TileAddress) -> Result<Url> {
        endpoint_url(&self.shared.tiles_url, &address.path())
    }

    /// Decompresses a tile if necessary and removes the token.
    fn unpack(&self, body: Bytes) -> Result<Bytes> {
        let body = gunzip(body)?;
        Ok(match &self.shared.transport.token {
            Some(token) => token.redact_tile(body),
            None => body,
        })
    }

    /// Returns a tile from the tile cache.
    async fn cached_tile(&self, url: &Url, tile: TileId) -> Option<Vec<u8>> {
        let (cache, url) = (self.shared.tile_cache.clone()?, url.clone());
        spawn_blocking(move || cache.get(&url, tile)).await.ok()?
    }

    /// Puts a tile into the tile cache. A failure is reported to the observer and is not an error.
    async fn cache_tile(&self, url: &Url, tile: TileId, bytes: Bytes) {
        let Some(cache) = self.shared.tile_cache.clone() else { return };
        // A server may repeat the token, which must not get into a file.
        if self.shared.transport.holds_token(&bytes) {
            return;
        }
        let (folder, url) = (cache.folder().display().to_string(), url.clone());
        if let Ok(Err(error)) = spawn_blocking(move || cache.put(&url, tile, &bytes)).await {
            let error = Error::new(ErrorKind::Io, "cache tiles in")
                .with_subject(folder)
                .with_source(error)
                .with_hint("the run continues without the tile cache; `--tile-cache-age 0` turns it off");
            self.emit(&Event::TileCacheDisabled { error: &error });
        }
    }
}

/// Decompresses gzip data. Servers were seen to send it without the header that announces it.
pub(crate) fn gunzip(body: Bytes) -> Result<Bytes> {
    if !body.starts_with(&[0x1f, 0x8b]) {
        return Ok(body);
    }
    let mut plain = Vec::new();
    flate2::read::MultiGzDecoder::new(&body[..])
        .take(MAX_TILE_LEN as u64 + 1)
        .read_to_end(&mut plain)
        .map_err(|error| Error::new(ErrorKind::Malformed, "").with_source(error))?;
    if plain.len() > MAX_TILE_LEN {
        return Err(Error::new(ErrorKind::Rejected, "").with_source("the tile unpacks to more than 64 MiB"));
    }
    Ok(plain.into())
}
