"""Ctrl-C for worker threads of consumers. The compiled part reads the numbers of signals from a descriptor."""

from __future__ import annotations

import os
import signal
import threading

_registered = False


def listen(descriptor: int | None) -> tuple[bool, bool]:
    """Lets Python write the numbers of signals to a descriptor, if Ctrl-C raises `KeyboardInterrupt` in this process.

    Returns whether this is the main thread, and whether Python made this thread. Called for each stream, because an event
    loop takes the only place for such a descriptor while it handles signals by itself. Only the main thread can set it.
    """
    global _registered
    thread = threading.current_thread()
    is_main = thread is threading.main_thread()
    raises = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_main and raises and descriptor is not None:
        _set(descriptor)
        if not _registered:
            _registered = True
            # A signal of a child is none of the parent, which reads the same descriptor.
            os.register_at_fork(after_in_child=lambda: _unset(descriptor))
    # The interpreter has a stand-in for a thread that it did not make.
    return is_main, not isinstance(thread, threading._DummyThread)


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
