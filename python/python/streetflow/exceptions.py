"""The exceptions of streetflow: one class per kind of failure, all of them a `StreetflowError`."""

from __future__ import annotations

from typing import Any

__all__ = [
    "AuthError",
    "BlockedError",
    "ForkError",
    "GoneError",
    "MalformedError",
    "OutputError",
    "RateLimitedError",
    "RejectedError",
    "StoppedError",
    "StreamConsumedError",
    "StreetflowError",
    "StreetflowWarning",
    "TooLargeError",
    "UnavailableError",
    "UnreachableError",
    "UsageError",
]


class StreetflowError(Exception):
    """A failure of streetflow.

    `str()` gives the message and, in a second line, the hint.

    >>> import streetflow as sf
    >>> try:
    ...     sf.images(bbox=(1, 2, 3), client=sf.Sandbox()).to_pylist()
    ... except sf.StreetflowError as error:
    ...     print(error.kind)
    usage
    """

    #: The kind of the failure, such as `auth` or `rate_limited`.
    kind: str = "other"

    def __init__(
        self,
        message: str = "",
        hint: str | None = None,
        *,
        subject: str | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        #: What happened, in one line.
        self.message = message
        #: What to do about it, or None.
        self.hint = hint
        #: What the failure is about, such as an image or a file, or None.
        self.subject = subject
        #: The HTTP status of the last response, or None.
        self.status = status

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restore, (type(self), self.message, self.hint, self.subject, self.status))


class UsageError(StreetflowError, ValueError):
    """Invalid input: a box, a field, a table without a required column."""

    kind = "usage"


class StreamConsumedError(UsageError):
    """A stream was read a second time. A second crawl would cost quota, so it has to be asked for."""

    kind = "consumed"


class ForkError(StreetflowError, RuntimeError):
    """The process was forked from one that used streetflow."""

    kind = "fork"


class AuthError(StreetflowError, PermissionError):
    """The token is missing or was rejected."""

    kind = "auth"


class BlockedError(StreetflowError, PermissionError):
    """Mapillary blocks this IP address, usually for about a day."""

    kind = "blocked"


class UnreachableError(StreetflowError, ConnectionError):
    """A host cannot be reached with this configuration, and waiting does not help."""

    kind = "unreachable"


class RateLimitedError(StreetflowError):
    """A rate limit of the API is exceeded. Waiting helps."""

    kind = "rate_limited"


class UnavailableError(StreetflowError, ConnectionError):
    """The server or the network failed, after all retries."""

    kind = "unavailable"


class TooLargeError(StreetflowError):
    """The response would be too large for the server."""

    kind = "too_large"


class RejectedError(StreetflowError):
    """The server rejected a request. A retry does not help."""

    kind = "rejected"


class GoneError(StreetflowError, LookupError):
    """A sequence or an image was deleted on Mapillary."""

    kind = "gone"


class MalformedError(StreetflowError, ValueError):
    """Malformed data: a tile, JSON, a JPEG, a row of a table."""

    kind = "malformed"


class OutputError(StreetflowError, OSError):
    """Reading or writing files failed."""

    kind = "io"


class StoppedError(StreetflowError):
    """The run was stopped."""

    kind = "interrupted"


class StreetflowWarning(UserWarning):
    """Some sequences, images or pictures failed and are missing in the result."""


_CLASSES: dict[str, type[StreetflowError]] = {
    cls.kind: cls
    for cls in (
        UsageError,
        StreamConsumedError,
        ForkError,
        AuthError,
        BlockedError,
        UnreachableError,
        RateLimitedError,
        UnavailableError,
        TooLargeError,
        RejectedError,
        GoneError,
        MalformedError,
        OutputError,
        StoppedError,
    )
}


def _from_kind(
    kind: str,
    message: str,
    *,
    hint: str | None = None,
    subject: str | None = None,
    status: int | None = None,
) -> StreetflowError:
    """Returns the exception of a kind."""
    return _CLASSES.get(kind, StreetflowError)(message, hint, subject=subject, status=status)


def _restore(
    cls: type[StreetflowError],
    message: str,
    hint: str | None,
    subject: str | None,
    status: int | None,
) -> StreetflowError:
    return cls(message, hint, subject=subject, status=status)
