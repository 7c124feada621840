# SPDX-License-Identifier: BSD-3-Clause
"""Runs cases side by side. A lane is a process that runs one case after another. It has labs, a shared stand and time
limits of its own; lanes share nothing but the machine."""
import collections
import contextlib
import ctypes
import io
import multiprocessing
import multiprocessing.connection
import signal
import time
import traceback

from harness import CASES, Failed, Stand

LEAK_CHECK, LEAK_LIMIT = "nothing_has_leaked_when_all_is_over", 120
PATIENCE = 2  # times its limit a case may take: a loaded machine is slow and not wrong


class TimeLimit(BaseException):
    """No Exception, so that no handler inside a case swallows it."""


class SharedStand:
    """A stand that is made when the first case asks for it, and made again after a case has broken it."""

    def __init__(self):
        self.stand = None
        self.remade = False

    def get(self):
        if self.stand is None:
            self.stand = Stand().__enter__()
        return self.stand

    def died(self):
        return self.stand is not None and not self.stand.proxy.running()

    def drop(self):
        if self.stand is not None:
            stand, self.stand = self.stand, None
            stand.__exit__()
            self.remade = True

    def used(self):
        return self.stand is not None or self.remade

    def returns_to_start(self):
        if self.remade:
            raise Failed("the shared proxy had to be started anew on the way: nothing to compare with")
        self.stand.proxy.end_forged()
        return self.stand.proxy.returns_to_start()


def guarded(limit, function, *arguments):
    """Calls the function under PATIENCE times the limit. Returns why it failed, or None, and what it returned."""
    signal.alarm(PATIENCE * limit)
    try:
        return None, function(*arguments)
    except Failed as why:
        return str(why), None
    except TimeLimit:
        return f"not done after {PATIENCE * limit} s", None
    except Exception:  # pylint: disable=broad-except # a broken case is a failed case
        return traceback.format_exc(limit=-4), None
    finally:
        signal.alarm(0)


def run_case(name, shared):
    if name == LEAK_CHECK:
        return guarded(LEAK_LIMIT, shared.returns_to_start)
    function, limit = CASES[name]
    if getattr(function, "own_stand", False):
        return guarded(limit, function, None)
    why, note = guarded(limit, lambda: function(shared.get()))
    if why is None and shared.died():
        why = "the proxy died"
    return why, note


def log_of(shared):
    lines = shared.stand.proxy.log().splitlines()[-15:] if shared.stand is not None else []
    return "".join(f"     | {line}\n" for line in lines)


def verdict(name, shared):
    """Runs a case. Returns why it failed, or None, and the text to print about it."""
    begin, said = time.monotonic(), io.StringIO()
    with contextlib.redirect_stdout(said):
        why, note = run_case(name, shared)
    took = f"({time.monotonic() - begin:.1f} s)"
    if why is None:
        return None, f"{said.getvalue()}PASS {name} {took}{': ' + note if note else ''}\n"
    text = f"{said.getvalue()}FAIL {name} {took}: {why}\n{log_of(shared)}"
    if shared.died():
        shared.drop()
    return why, text


def on_alarm(*_):
    raise TimeLimit


def work(connection):
    """The process of a lane: runs the cases that it is told until it gets None, then checks its shared stand for leaks."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: no lane outlives the runner
    signal.signal(signal.SIGALRM, on_alarm)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner gets it too, and ends its lanes
    shared = SharedStand()
    try:
        while (name := connection.recv()) is not None:
            connection.send((name, *verdict(name, shared)))
        if shared.used():
            connection.send((LEAK_CHECK, *verdict(LEAK_CHECK, shared)))
    finally:
        shared.drop()


class Lane:
    """The runner's end of a lane."""

    def __init__(self):
        context = multiprocessing.get_context("fork")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs,))
        self.process.start()
        theirs.close()
        self.doing = None
        self.over = False

    def give(self, name):
        """Tells the lane its next case. None: there are no more cases, only the leak check."""
        self.doing = name or LEAK_CHECK
        with contextlib.suppress(BrokenPipeError):  # result() reports its death
            self.connection.send(name)

    def result(self):
        """(name, why, text) of the case that has ended. None: the lane ended without running another one."""
        try:
            return self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.over = True
            self.process.join()
            if self.process.exitcode == 0:
                return None
            why = f"the lane ended with exit code {self.process.exitcode}"
            return self.doing, why, f"FAIL {self.doing}: {why}\n"

    def await_end(self):
        self.process.join(60)
        self.process.kill()
        self.process.join()


def side_by_side(names, count, report):
    """Gives each case to a free lane. Calls report(name, why) when a case has ended; `why` is None for a pass."""
    waiting, lanes = collections.deque(names), {}

    def next_name():
        return waiting.popleft() if waiting else None

    def add():
        lane = Lane()
        lanes[lane.connection] = lane
        lane.give(next_name())

    try:
        for _ in range(min(count, len(names))):
            add()
        while lanes:
            for connection in multiprocessing.connection.wait(list(lanes)):
                lane = lanes[connection]
                result = lane.result()
                if result is not None:
                    name, why, text = result
                    print(text, end="", flush=True)
                    report(name, why)
                if lane.over:
                    del lanes[connection]
                    if waiting:  # the lane died early
                        add()
                elif lane.doing != LEAK_CHECK:
                    lane.give(next_name())
    finally:
        for lane in lanes.values():
            lane.process.terminate()
        for lane in lanes.values():
            lane.await_end()


def in_groups(names, count):
    """Groups of (cases, lanes), in order. Long cases begin first; those with a shared stand keep their order."""
    company = {name: getattr(CASES[name][0], "company", "any") for name in names}
    alone, far, others = ([name for name in names if company[name] == kind] for kind in ("none", "far", "any"))
    own = [name for name in others if getattr(CASES[name][0], "own_stand", False)]
    shared = [name for name in others if name not in own]
    return (sorted(own, key=lambda name: -CASES[name][1]) + shared, count), (far, len(far)), (alone, 1)


def run_cases(names, count):
    """Runs the cases. Returns for each why it failed, or None."""
    results = {}

    def report(name, why):
        # The leak check reports once per lane, each for its own stand.
        results[name] = "; ".join(filter(None, (results.get(name), why))) or None

    for group, lanes in in_groups(names, count):
        side_by_side(group, lanes, report)
    return results
