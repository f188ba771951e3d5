"""Ctrl-C for worker threads of consumers. The compiled part reads the numbers of signals from a descriptor."""

from __future__ import annotations

import os
import signal
import sys
import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._stream import Stream

#: The end into which Python writes, if it is registered.
_descriptor: int | None = None

#: Streams that may still wait for Ctrl-C in a thread of a consumer.
_streams: weakref.WeakSet[Stream] = weakref.WeakSet()
_lock = threading.Lock()


def expect(stream: Stream) -> None:
    """Keeps the descriptor until this stream has ended."""
    with _lock:
        _streams.add(stream)


def forget(stream: Stream) -> None:
    """Does not keep the descriptor for this stream any more."""
    with _lock:
        _streams.discard(stream)


def rest() -> None:
    """Takes the descriptor back when all streams have ended, because other event loops expect its place to be free.

    Only the main thread can do it. After a stream that ended in another thread, the next one that ends in the main thread does.
    """
    if _descriptor is None or threading.current_thread() is not threading.main_thread():
        return
    if not _waits():
        _unset(_descriptor)


def _waits() -> bool:
    with _lock:
        return any(not stream.report.ended for stream in _streams)


def listen(descriptor: int | None) -> tuple[bool, bool]:
    """Lets Python write the numbers of signals to a descriptor, if Ctrl-C raises `KeyboardInterrupt` in this process.

    Returns whether this is the main thread, and whether Python made this thread. Called for each stream, because an event
    loop takes the only place for such a descriptor while it handles signals by itself. Only the main thread can set it.
    """
    global _descriptor
    thread = threading.current_thread()
    is_main = thread is threading.main_thread()
    raises = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_main and raises and descriptor is not None:
        _set(descriptor)
        if _descriptor is None:
            _descriptor = descriptor
            # A signal of a child is none of the parent, which reads the same descriptor.
            os.register_at_fork(after_in_child=lambda: _unset(descriptor))
            _listen_in_cells()
    # The interpreter has a stand-in for a thread that it did not make.
    return is_main, not isinstance(thread, threading._DummyThread)


def _listen_in_cells() -> None:
    """Takes the place again before each cell of IPython, whose prompt takes it away from streams of earlier cells."""

    def again(*_: object) -> None:
        raises = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if _descriptor is not None and raises and _waits():
            _set(_descriptor)

    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None:
        shell.events.register("pre_run_cell", again)


def _set(descriptor: int) -> None:
    before = signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)
    if before not in (-1, descriptor):
        signal.set_wakeup_fd(before)


def _unset(descriptor: int) -> None:
    try:
        before = signal.set_wakeup_fd(-1)
        if before not in (-1, descriptor):
            signal.set_wakeup_fd(before)
    except ValueError:
        pass  # Another interpreter than the main one has no signals.
