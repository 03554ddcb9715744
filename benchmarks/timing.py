"""Times of competitors that take turns, so that a change of the machine's pace meets all alike."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

# After a call the worker threads of a library may spin for a while and take time from the next one.
PAUSE = 0.004
# The shortest calls would else be made by the hundred thousand.
MOST_CALLS = 2000
# A call this long (seconds) is not faster for the one before it, and none is spent on warming up.
LONG = 0.05
# A call this long gets fewer rounds.
VERY_LONG = 1.0
ROUNDS_OF_VERY_LONG = 3


@dataclass(frozen=True)
class Timing:
    """How long a call takes.

    Args:
        microseconds: The median.
        spread: The distance between the quartiles, as a share of the median.
        calls: How many calls were timed.
        rounds: In how many rounds; fewer than the others' where a competitor was dropped. None if
            it was so slow when it was being prepared that it was not timed any further.
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
            # Caches hold what the other competitors worked with.
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
    """The times of some calls that take turns.

    Args:
        calls: What to time, by the name of the competitor.
        seconds: About how long to time each one, over all rounds.
        rounds: How many turns each one gets; three for a call of more than a second.
        drop_above: After two rounds, no more turns for a competitor that takes so many times as
            long as the fastest one; and none at all for one that takes twice as many times as long.

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
        # There and back, so that nobody always follows the same neighbour.
        for runner in running if turn % 2 == 0 else running[::-1]:
            time.sleep(PAUSE)
            runner.run_round(seconds / rounds)
    return {name: runner.timing() for name, runner in runners.items()}
