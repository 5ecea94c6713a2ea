"""How many calls may work on and wait for one local model. Pure: `now` comes from the caller.

llama.cpp itself queues without bound, so the bound is here, in front of it.
"""

from __future__ import annotations

from headrace.errors import Reason, Refused

_SMOOTHING = 0.2
_FIRST_GUESS_S = 2.0


class Admission:
    """The places of one local model: `parallel` calls at work and `queue` waiting.

    Where several gateway workers share one model process, each holds its `share`.
    """

    def __init__(self, model: str, parallel: int, queue: int) -> None:
        self._model = model
        self._parallel = parallel
        self._places = parallel + queue
        self._entered: dict[int, float] = {}
        self._next = 0
        self._usual_s = _FIRST_GUESS_S

    @classmethod
    def share(cls, model: str, parallel: int, queue: int, gateway_workers: int) -> Admission:
        """One gateway worker's part of the places, rounded up, so that all together hold at most
        `gateway_workers - 1` calls more than `parallel + queue`."""
        own_parallel = -(-parallel // gateway_workers)
        own_places = -(-(parallel + queue) // gateway_workers)
        return cls(model, own_parallel, max(0, own_places - own_parallel))

    @property
    def inside(self) -> int:
        """Calls at work or waiting."""
        return len(self._entered)

    def enter(self, now: float) -> int:
        """Takes a place: a token for `leave`. `now` is monotonic seconds.

        Raises Refused(QUEUE_FULL), with the seconds after which a place should be free."""
        if len(self._entered) >= self._places:
            raise Refused(
                Reason.QUEUE_FULL,
                f"The model {self._model} is busy: all its {self._places} places are taken. "
                "Please try again shortly.",
                retry_after_s=self._retry_after_s(now),
            )
        self._next += 1
        self._entered[self._next] = now
        return self._next

    def leave(self, place: int, now: float) -> None:
        """Gives the place back, however the call ended. A second time does nothing."""
        entered = self._entered.pop(place, None)
        if entered is not None:
            self._usual_s += _SMOOTHING * (now - entered - self._usual_s)

    def _retry_after_s(self, now: float) -> float:
        oldest = min(self._entered.values(), default=now)
        return float(max(1, round(self._usual_s - (now - oldest))))
