//! `streetflow.Sandbox`: the mock server.

use std::time::Duration;

use pyo3::prelude::*;

use crate::client::{Client, concurrency_of, within};
use crate::errors::{Attempt, Failure, usage};
use crate::runtime::{Owned, wait};
use streetflow::{Error, ErrorKind};
use streetflow_sandbox::{Fault, Host, MockData, Rule};

/// A mock server of Mapillary on this machine, with fictional data of Cyprus.
///
/// It needs no token and no network. `images` generates a data set with so many images instead, `latency` is the
/// duration of each response in milliseconds.
///
/// >>> import streetflow as sf
/// >>> with sf.Sandbox() as sandbox:
/// ...     sf.sequences(bbox=(33.33, 35.15, 33.39, 35.19), client=sandbox).to_arrow().num_rows
/// 12
#[pyclass(frozen, module = "streetflow")]
pub(crate) struct Sandbox(Owned<streetflow_sandbox::Sandbox>);

impl Sandbox {
    pub(crate) fn get(&self) -> Attempt<&streetflow_sandbox::Sandbox> {
        self.0.get()
    }
}

#[pymethods]
impl Sandbox {
    #[new]
    #[pyo3(signature = (*, images=None, latency=0.0, port=None))]
    fn new(py: Python<'_>, images: Option<i64>, latency: f64, port: Option<i64>) -> PyResult<Self> {
        let latency = Duration::try_from_secs_f64(latency / 1000.0)
            .map_err(|error| Failure::from(usage("use `latency`", error.to_string())))?;
        // Recorded requests take memory, which a large data set has many of.
        let mut builder =
            streetflow_sandbox::Sandbox::builder().latency(latency).record_requests(images.is_none());
        if let Some(port) = port {
            let port = within(port, 0..=65535)
                .ok_or_else(|| Failure::from(usage("use `port`", "it must be 0 to 65535")))?;
            builder = builder.port(port);
        }
        if let Some(count) = images {
            let count = within(count, 1..=100_000_000)
                .ok_or_else(|| Failure::from(usage("use `images`", "it must be 1 to 100,000,000")))?;
            builder = builder.mock_data(py.detach(|| MockData::with_image_count(count, 1)));
        }
        let started = wait(py, builder.start(), |_| Ok(()))?;
        let server = started.map_err(|error| {
            let error = Error::new(ErrorKind::Usage, "start the sandbox").with_source(error);
            Failure::from(error.with_hint("choose another `port`"))
        })?;
        Ok(Self(Owned::new(server)))
    }

    /// Returns a client of this server, which keeps it running.
    #[pyo3(signature = (*, concurrency=64))]
    fn client(slf: &Bound<'_, Self>, concurrency: i64) -> PyResult<Client> {
        let owner = slf.clone().into_any().unbind();
        Client::for_sandbox(slf.get().get()?, owner, concurrency_of(concurrency)?)
    }

    /// The base URL of the Graph API and of the tiles.
    #[getter]
    fn url(&self) -> PyResult<String> {
        Ok(self.get()?.graph_url().to_owned())
    }

    /// The environment variables with which other programs use this server.
    #[getter]
    fn env(&self) -> PyResult<std::collections::BTreeMap<&'static str, String>> {
        let server = self.get()?;
        Ok([
            ("MAPILLARY_GRAPH_URL", server.graph_url().to_owned()),
            ("MAPILLARY_TILES_URL", server.tiles_url().to_owned()),
            ("MAPILLARY_TOKEN", streetflow_sandbox::Sandbox::TOKEN.to_owned()),
        ]
        .into())
    }

    /// The requests so far, as pairs of host and path with query. Empty if `images` was set.
    fn requests(&self) -> PyResult<Vec<(&'static str, String)>> {
        let recorded = self.get()?.requests().into_iter();
        Ok(recorded
            .map(|request| (host_name(request.host), format!("{}?{}", request.path, request.query)))
            .collect())
    }

    /// Makes requests to a host fail from now on.
    #[pyo3(signature = (host, fault, *, times=None, skip=0, ids=Vec::new(), delay=1000.0))]
    fn fail(
        &self,
        host: &str,
        fault: &str,
        times: Option<u64>,
        skip: u64,
        ids: Vec<String>,
        delay: f64,
    ) -> PyResult<()> {
        let host = match host {
            "graph" => Host::Graph,
            "tiles" => Host::Tiles,
            "images" => Host::Images,
            _ => return Err(Failure::from(usage("use `host`", "it must be graph, tiles or images")).into()),
        };
        let fault = match fault {
            "auth" => Fault::status(
                401,
                r#"{"error":{"message":"Invalid OAuth access token","type":"OAuthException","code":190}}"#,
            ),
            "blocked" => Fault::Redirect,
            "unavailable" => Fault::status(503, "down for maintenance"),
            "reset" => Fault::Reset,
            "stall" => Fault::Stall,
            "missing" => Fault::MissingIds(ids),
            "delay" => Fault::Delay(
                Duration::try_from_secs_f64(delay / 1000.0)
                    .map_err(|error| Failure::from(usage("use `delay`", error.to_string())))?,
            ),
            "truncate" => Fault::Truncate(100),
            _ => {
                let all = "it must be auth, blocked, unavailable, reset, stall, missing, delay or truncate";
                return Err(Failure::from(usage("use `fault`", all)).into());
            }
        };
        let rule = Rule::on(host).skip(skip);
        let rule = times.into_iter().fold(rule, Rule::times);
        self.get()?.add_rule(rule.fault(fault));
        Ok(())
    }

    /// Removes all faults.
    fn clear_faults(&self) -> PyResult<()> {
        self.get()?.clear_rules();
        Ok(())
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_args))]
    fn __exit__(&self, _args: &Bound<'_, pyo3::types::PyTuple>) {}

    fn __repr__(&self) -> PyResult<String> {
        Ok(format!("<streetflow.Sandbox {}>", self.url()?))
    }
}

fn host_name(host: Host) -> &'static str {
    match host {
        Host::Graph => "graph",
        Host::Tiles => "tiles",
        Host::Images => "images",
    }
}
