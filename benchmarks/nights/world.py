"""A simulated machine: its clock, the threads of its programs, and the moments at which faults strike.

Threads are greenlets. One runs until it waits or takes a step (a write, a request, a message), which lasts a moment in
which others run; which of them follows from the seed.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet

from benchmarks.nights.faults import Fault
from leigh_mlops.errors import StoppedError

__all__ = ["Killed", "Thread", "World", "describe"]

_BEGIN = 1.8e9
_MOST_STEPS = 20_000
_LONGEST_OUTAGE_S = 900.0
_LONGEST_JUMP_S = 100_000.0
_ENDS = (Fault.KILL, Fault.CRASH)

T = TypeVar("T")
Handler = Callable[[int, Any], object]


class Killed(BaseException):
    """The program is dead: whatever it still does while this unwinds it raises this again, and has no effect."""


@dataclass(eq=False)
class Thread:
    """A thread of the program.

    Attributes:
        wake: Time at which it goes on; None while it waits for another.
    """

    work: greenlet
    wake: float | None = 0.0

    @property
    def is_done(self) -> bool:
        """Return whether it has ended."""
        return bool(self.work.dead)


@dataclass
class World:
    """A machine on which one program runs at a time.

    Attributes:
        dice: Source of everything that chance decides.
        faults: Faults by the step at which they happen, removed as they do.
        log: Called with a line for each step.
        now: Seconds since the beginning, which never jump.
        outages: Times at which the disk is no longer full, or the store answers again.
        pending: Faults that wait for the next request or message.
        handlers: Handlers of the program's signals.
        problems: Errors that nobody caught.
        on_crash: Called when the power is lost.
    """

    dice: random.Random
    faults: dict[int, Fault]
    log: Callable[[str], None]
    now: float = 0.0
    steps: int = 0
    outages: dict[Fault, float] = field(default_factory=dict)
    pending: list[Fault] = field(default_factory=list)
    handlers: dict[int, Handler] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    on_crash: Callable[[], None] = lambda: None
    has_power: bool = True
    _jump_s: float = 0.0
    _is_dead: bool = False
    _signals: int = 0
    _threads: list[Thread] = field(default_factory=list)
    _current: Thread | None = None
    _hub: greenlet | None = None

    @property
    def wall(self) -> float:
        """Time of the clock on the wall, in seconds since 1970."""
        return _BEGIN + self.now + self._jump_s

    def run(self, program: Callable[[], None]) -> None:
        """Run a program with its threads until its main thread ends.

        Raises:
            Killed: A fault ended it.
        """
        self._is_dead, self._signals, self._threads, self.handlers = False, 0, [], {}
        self.has_power, self._hub = True, getcurrent()
        main = self.spawn(program)
        try:
            while not main.is_done:
                self._switch(self._next_thread())
                if self._is_dead and not main.is_done:
                    main.work.throw(Killed)
        finally:
            self._is_dead = True
            for thread in self._threads:
                if not thread.is_done:
                    thread.work.throw(Killed)
            self._current = None

    def spawn(self, work: Callable[[], None]) -> Thread:
        """Start a thread; the first one is the main thread."""
        begin = (lambda: self._survive(work)) if self._threads else work
        thread = Thread(greenlet(begin, parent=self._hub), self.now)
        self._threads.append(thread)
        return thread

    def _survive(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Killed:
            pass
        except BaseException as error:
            self.problems.append(f"a thread ended with {error!r}")

    def _next_thread(self) -> Thread:
        while True:
            sleeping = [thread for thread in self._threads if thread.wake is not None and not thread.is_done]
            if not sleeping:
                raise RuntimeError("all threads wait for each other")
            ready = [thread for thread in sleeping if thread.wake is not None and thread.wake <= self.now]
            if ready:
                return ready[0] if len(ready) == 1 else self.dice.choice(ready)
            self.now = min(thread.wake for thread in sleeping if thread.wake is not None)

    def _switch(self, thread: Thread) -> None:
        self._current = thread
        thread.work.switch()

    def pause(self, seconds: float | None) -> None:
        """Let time pass, in which other threads run; without a number, until another thread wakes this one."""
        thread = self._current
        if thread is None:  # the user waits
            self.now += seconds or 0.0
            return
        self._check_alive()
        thread.wake = None if seconds is None else self.now + seconds
        self._hub.switch()
        self._check_alive()
        self._deliver_signals()

    def current_thread(self) -> Thread:
        """Return the thread that runs."""
        if self._current is None:
            raise RuntimeError("no program runs")
        return self._current

    def act(
        self, what: str, effect: Callable[[], T], *, part: Callable[[], object] | None = None, seconds: float = 0.005
    ) -> T:
        """Do something that changes the world and takes a moment; a fault may end the program before, in or after it.

        Args:
            what: Description for the log.
            effect: The change.
            part: Half of the change, where it can be left half done.
            seconds: Mean of the time that it takes.
        """
        end = self.step(what, seconds)
        if end is not None:
            done = self.dice.choice([None, part, effect])
            if done is not None:
                done()
            self.die(end)
        result = effect()
        self._deliver_signals()
        return result

    def step(self, what: str, seconds: float = 0.005) -> Fault | None:
        """Let a moment pass, and the fault of this step happen, if there is one; return one that ends the program."""
        self.pause(self.dice.expovariate(1 / seconds))
        self.steps += 1
        if self.steps > _MOST_STEPS:
            raise RuntimeError("the program does not end")
        fault = self.faults.pop(self.steps, None)
        self.log(f"{self.steps:4} {self.now:9.2f} s  {what}{f'  <== {fault.value[0]}' if fault else ''}")
        if fault in _ENDS:
            return fault
        if fault is not None:
            self._happen(fault)
        return None

    def wait(self, what: str, seconds: float) -> None:
        """Wait for something that another program does."""
        if (end := self.step(what, seconds)) is not None:
            self.die(end)

    def _happen(self, fault: Fault) -> None:
        if fault in (Fault.FULL, Fault.AWAY, Fault.ERROR):
            self.outages[fault] = self.now + self.dice.uniform(0, _LONGEST_OUTAGE_S)
        elif fault is Fault.CLOCK:
            self._jump_s += self.dice.uniform(-_LONGEST_JUMP_S, _LONGEST_JUMP_S)
        elif fault is Fault.SIGNAL:
            self._signals += self.dice.randint(1, 2)
        else:
            self.pending.append(fault)

    def die(self, fault: Fault) -> None:
        """End the program at once.

        Raises:
            Killed: Always.
        """
        self._is_dead = True
        if fault is Fault.CRASH:
            self.has_power = False
            self.on_crash()
        raise Killed

    def has(self, fault: Fault) -> bool:
        """Return whether the world is in such an outage."""
        return self.outages.get(fault, 0.0) > self.now

    def take(self, *faults: Fault) -> Fault | None:
        """Take the first of some faults that waits for its moment."""
        for fault in faults:
            if fault in self.pending:
                self.pending.remove(fault)
                return fault
        return None

    def _check_alive(self) -> None:
        if self._is_dead:
            raise Killed

    def _deliver_signals(self) -> None:
        """Let the main thread handle a signal, as Python does between two of its steps."""
        if not self._signals or self._current is not self._threads[0]:
            return
        self._signals -= 1
        if not self.handlers:
            raise StoppedError
        next(iter(self.handlers.values()))(2, None)


def describe(faults: Mapping[int, Fault]) -> str:
    """Describe a schedule in one line."""
    return "; ".join(f"step {step}: {fault.value[0]}" for step, fault in sorted(faults.items()))
