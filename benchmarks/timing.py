"""Interleaved timing, so that changes in the machine's speed affect all calls alike."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

# After a call, a library's worker threads may spin for a while and slow the next one.
PAUSE = 0.004
# Limit for the shortest calls.
MOST_CALLS = 2000
# A call this long (seconds) gains nothing from a warm-up call.
LONG = 0.05
# A call this long gets fewer rounds.
VERY_LONG = 1.0
ROUNDS_OF_VERY_LONG = 3


@dataclass(frozen=True)
class Timing:
    """Time of a call.

    Attributes:
        microseconds: Median time.
        spread: Interquartile range, as a share of the median.
        calls: Number of timed calls.
        rounds: Number of rounds. A competitor that was dropped has fewer rounds, and zero if it
            was dropped during preparation.
    """

    microseconds: float
    spread: float
    calls: int
    rounds: int


@dataclass
class _Runner:
    """A competitor while it is being timed."""

    call: Callable[[], object]
    estimate: float = 0.0
    times: list[float] = field(default_factory=list)
    rounds: int = 0

    def prepare(self) -> None:
        # The first call compiles.
        self.call()
        self.estimate = min(self._timed(1))
        if self.estimate < LONG:
            self.estimate = min(self.estimate, *self._timed(2))

    def run_round(self, seconds: float) -> None:
        if self.estimate < LONG:
            # Warm up: the caches hold the other competitors' data.
            self.call()
        self.times += self._timed(min(max(int(seconds / self.estimate), 1), MOST_CALLS))
        self.rounds += 1

    def timing(self) -> Timing:
        if not self.times:
            return Timing(round(self.estimate * 1e6, 3), spread=0.0, calls=1, rounds=0)
        median = statistics.median(self.times)
        first, _, third = statistics.quantiles(self.times, n=4)
        return Timing(
            microseconds=round(median * 1e6, 3),
            spread=round((third - first) / median, 3),
            calls=len(self.times),
            rounds=self.rounds,
        )

    def _timed(self, count: int) -> list[float]:
        times = []
        for _ in range(count):
            start = time.perf_counter()
            self.call()
            times.append(time.perf_counter() - start)
        return times


def interleaved(
    calls: Mapping[str, Callable[[], object]],
    seconds: float = 0.12,
    rounds: int = 5,
    drop_above: float | None = None,
) -> dict[str, Timing]:
    """Time some calls in turn.

    Args:
        calls: The calls to time, by name.
        seconds: Approximate time for each one, over all rounds.
        rounds: Number of rounds; calls of more than a second get three.
        drop_above: After two rounds, drop a call that takes more than this times as long as the
            fastest one. A call that takes twice as long as that is not timed at all.

    Returns:
        A timing for each name, in the order given.
    """
    runners = {name: _Runner(call) for name, call in calls.items()}
    for runner in runners.values():
        runner.prepare()
    running = list(runners.values())
    if drop_above is not None:
        limit = 2 * drop_above * min(runner.estimate for runner in running)
        running = [runner for runner in running if runner.estimate <= limit]
    for turn in range(rounds):
        if turn == ROUNDS_OF_VERY_LONG:
            running = [runner for runner in running if runner.estimate < VERY_LONG]
        if turn == 2 and drop_above is not None:
            medians = [statistics.median(runner.times) for runner in running]
            limit = drop_above * min(medians)
            running = [r for r, median in zip(running, medians, strict=True) if median <= limit]
        # Alternate the order, so that no call always follows the same one.
        for runner in running if turn % 2 == 0 else running[::-1]:
            time.sleep(PAUSE)
            runner.run_round(seconds / rounds)
    return {name: runner.timing() for name, runner in runners.items()}
