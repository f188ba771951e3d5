"""The client of a call."""

from __future__ import annotations

import os
import threading
from typing import Union

from ._core import Client, Sandbox
from .exceptions import UsageError

#: The variables that a client reads. A client made before a change of them is not used after it.
_VARIABLES = (
    "MAPILLARY_TOKEN",
    "MAPILLARY_CLIENT_TOKEN",
    "MAPILLARY_ACCESS_TOKEN",
    "MAPILLARY_GRAPH_URL",
    "MAPILLARY_TILES_URL",
    "STREETFLOW_CACHE_DIR",
)

_lock = threading.Lock()
_default: tuple[tuple[object, ...], Client] | None = None
_sandbox: tuple[int, Sandbox, Client] | None = None
_sandbox_clients: dict[int, tuple[Sandbox, Client]] = {}

ClientLike = Union[Client, Sandbox, None]


def get_client(client: ClientLike, sandbox: bool = False) -> Client:
    """Returns the client to use: the one given, that of a mock server, or the one of this process."""
    if sandbox:
        if client is not None:
            raise UsageError("failed to choose the client: both `client` and `sandbox` are set")
        return _shared_sandbox()
    if isinstance(client, Sandbox):
        return _client_of(client)
    if client is None:
        return default_client()
    if not isinstance(client, Client):
        raise UsageError(
            f"failed to choose the client: it is of the type {type(client).__name__}",
            "pass a streetflow.Client, such as `streetflow.Client(token=...)`, or a streetflow.Sandbox",
        )
    return client


def default_client() -> Client:
    """Returns the client of this process, from the environment.

    All calls without `client=` share it, and with it the rate limits. It is made anew if the token or a host in the
    environment changes.

    >>> import streetflow as sf
    >>> sf.default_client() is sf.default_client()
    True
    """
    global _default
    key = (os.getpid(), *(os.environ.get(name) for name in _VARIABLES))
    with _lock:
        if _default is None or _default[0] != key:
            _default = (key, Client())
        return _default[1]


def _client_of(sandbox: Sandbox) -> Client:
    """One client for each server, so that calls share its limits. It lives as long as the server."""
    with _lock:
        known = _sandbox_clients.get(id(sandbox))
        if known is None or known[0] is not sandbox:
            if len(_sandbox_clients) >= 16:
                _sandbox_clients.pop(next(iter(_sandbox_clients)))
            known = _sandbox_clients[id(sandbox)] = (sandbox, sandbox.client())
        return known[1]


def _shared_sandbox() -> Client:
    """The client of the mock server of this process."""
    global _sandbox
    with _lock:
        if _sandbox is None or _sandbox[0] != os.getpid():
            sandbox = Sandbox()
            _sandbox = (os.getpid(), sandbox, sandbox.client())
        return _sandbox[2]
