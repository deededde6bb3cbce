"""Ctrl-C and SIGTERM ask a training to save and stop, instead of killing it in the middle.

Orbax handles preemption only where jax.distributed runs; on one machine this does.
"""

import signal
import threading
import types


class StopRequest:
  """While entered, the first Ctrl-C or SIGTERM sets `requested`; a second Ctrl-C interrupts."""

  def __init__(self):
    self.requested = ''
    self._previous = {}

  def __enter__(self) -> 'StopRequest':
    # Python lets the main thread alone handle signals; elsewhere (a notebook) they are not ours.
    if threading.current_thread() is threading.main_thread():
      for number in (signal.SIGINT, signal.SIGTERM):
        self._previous[number] = signal.signal(number, self._handle)
    return self

  def __exit__(self, *exception: object) -> None:
    for number, handler in self._previous.items():
      signal.signal(number, handler)
    self._previous = {}

  def _handle(self, number: int, frame: types.FrameType | None) -> None:
    if self.requested and number == signal.SIGINT:
      raise KeyboardInterrupt
    self.requested = signal.Signals(number).name
