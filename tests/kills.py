"""Kill a run again and again, its driver or one of its jobs, start it anew each time, and tell what became of it.

python tests/kills.py [--kills 20] [--seed 0] [--cores 1] FOLDER [TARGET ...] runs scale smoke in a checkout of this repository.
"""

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from itertools import chain
from pathlib import Path

import psutil

KINDS = [(who, number) for who in ("driver", "job") for number in (signal.SIGKILL, signal.SIGTERM)]
STEP = re.compile(r"(resuming|stopped)[ \w]* at step (\d+)")
FORCED = ["--forcerun", "train", "train_estimator"]  # at its end, a run makes its trainings again: the same bits, if all is well
AGAIN = 10  # times at most
TRAININGS = 2  # so many kills come first that hit a training which has saved a state, each another one


class Run:
    """A run under fire.  Args: targets: of snakemake; cores: that it may use."""

    def __init__(self, folder: Path, targets: list[str], cores: int) -> None:
        words = [*targets, "-s", "workflow/Snakefile", "--cores", str(cores), "--config", "scale=smoke"]
        self.folder, self.command, self.log = folder, [sys.executable, "-m", "snakemake", *words], folder / "kills.log"
        self.log.unlink(missing_ok=True)
        self.startup = 2.5  # seconds until a driver's first job, as last seen
        self.kills: list[dict[str, str | float]] = []
        self.locks = 0  # that a killed driver left
        self.interrupted: set[str] = set()  # states that killed jobs left
        self.told: dict[str, list[tuple[str, int]]] = {}  # where a training stopped and resumed, by its log
        self.shown: dict[str, list[tuple[str, int]]] = {}  # the same of its last attempt
        self.again = 0  # times that it was at its end before the last kill
        self.start()

    def start(self, forced: list[str] | None = None) -> None:
        """A new driver.  Args: forced: words of its command line that make it run what is made."""
        self.locks += any((self.folder / ".snakemake/locks").glob("*.lock"))
        environment = os.environ | {"PYTHONPATH": str(self.folder.resolve() / "src")}
        with open(self.log, "a") as log:
            self.driver = subprocess.Popen([*self.command, *(forced or [])], cwd=self.folder, env=environment, stdout=log, stderr=log)
        self.began, self.wounded = time.monotonic(), False  # whether a job of it was killed
        self.seen, self.marks = set[int](), [self.began]  # its jobs, and when it and each of them began

    def over(self) -> bool:
        """Whether all is made; a driver that ended without it is followed by another.

        Raises: RuntimeError when it failed by itself.
        """
        self.look()
        if (code := self.driver.poll()) is None:
            return False
        if code and not self.wounded:
            raise RuntimeError(f"failed by itself, with {code}, after {len(self.kills)} kills; see {self.log}")
        if code:
            self.start()
        return not code

    def kill(self, who: str, number: signal.Signals, drawn: random.Random, training: bool) -> None:
        """One signal: within a startup of a driver, or two seconds of its first or second job; or to a training that has saved a state.

        A run that is at its end by then makes its trainings again.  Raises: RuntimeError when that was too often.
        """
        begun = drawn.choice((0, 1, 1, 2) if who == "driver" else (1, 1, 1, 2))
        wait = drawn.random() * (2 if begun else self.startup)
        while not self.hit(who, number, begun, wait, drawn, training):
            time.sleep(0.02)  # a training at smoke has a state for a few tenths of a second
            if self.over():
                self.again += 1
                if self.again > AGAIN:
                    raise RuntimeError(f"{self.again} times at its end after {len(self.kills)} kills; see {self.log}")
                self.say(f"at its end after {len(self.kills)} kills: its trainings again")
                self.start(FORCED)
        try:
            self.driver.wait(None if who == "driver" else 2 * self.startup)
        except subprocess.TimeoutExpired:  # the other jobs take their time, or this one was at its end
            self.wounded, self.marks = True, [time.monotonic()]
            return
        self.look()
        self.interrupted |= self.states() if who == "job" else set()
        self.start()

    def hit(self, who: str, number: signal.Signals, begun: int, wait: float, drawn: random.Random, training: bool) -> bool:
        """Send a signal, unless it is too soon.  Returns: whether it was sent."""
        jobs, now = self.jobs(), time.monotonic()
        doing = " ".join(verb for _, verb in jobs) or "no job"
        if jobs and not self.seen:
            self.startup = now - self.began
        self.marks += [now for job, _ in jobs if job.pid not in self.seen]
        self.seen |= {job.pid for job, _ in jobs}
        if training:
            jobs = [(job, verb) for job, verb in jobs if verb.startswith("train") and self.states() - self.interrupted]
        elif len(self.marks) <= begun or now < self.marks[begun] + wait:
            return False
        targets = [(psutil.Process(self.driver.pid), doing)] if who == "driver" else jobs
        if not targets:
            return False
        process, verb = drawn.choice(targets)
        moment = round(time.monotonic() - self.began, 2)
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:  # it has just ended
            return False
        self.kills.append({"seconds": moment, "who": who, "signal": number.name, "job": verb})
        self.say(f"kill {len(self.kills)}: {number.name} to the {who} at {moment} s, {verb}")
        return True

    def jobs(self) -> list[tuple[psutil.Process, str]]:
        """The driver's jobs that run now, with their verbs."""
        found = []
        for process in psutil.Process(self.driver.pid).children(recursive=True):
            try:
                words = process.cmdline()
            except psutil.Error:  # it has just ended
                continue
            if words[1:3] == ["-m", "difftables"]:
                found.append((process, words[3]))
        return found

    def states(self) -> set[str]:
        """Trainings that have saved a state, by fingerprint."""
        return {path.parent.name for path in self.folder.glob(".cache/states/*/state.pt")}

    def look(self) -> None:
        """Note where trainings stopped and resumed: the next attempt begins their logs anew."""
        for path in self.folder.glob("results/smoke/logs/train*/**/*.log"):
            name = str(path.relative_to(self.folder))
            found, before = [(word, int(step)) for word, step in STEP.findall(path.read_text())], self.shown.get(name, [])
            self.told.setdefault(name, []).extend(found[len(before) :] if found[: len(before)] == before else found)
            self.shown[name] = found

    def say(self, text: str) -> None:
        """A line for people, in the log too."""
        print(text, flush=True)
        with open(self.log, "a") as log:
            print(text, file=log)


def run(folder: Path, targets: list[str], kills: int = 20, seed: int = 0, cores: int = 1) -> dict[str, object]:
    """Kill so many times, each kind as often as the others, then let the run end.  Returns: what is told of it."""
    drawn, began, under = random.Random(seed), time.monotonic(), Run(folder, targets, cores)
    rounds = [drawn.sample(KINDS, len(KINDS)) for _ in range(0, kills, len(KINDS))]
    rounds[0].sort(key=lambda kind: kind[0] == "driver")
    try:
        for i, (who, number) in enumerate(chain(*rounds)):
            under.kill(who, number, drawn, training=i < TRAININGS)
        while not under.over():
            time.sleep(0.2)
    finally:
        if under.driver.poll() is None:
            under.driver.terminate()
    text = under.log.read_text()
    return {
        "seconds": round(time.monotonic() - began, 1),
        "kills": under.kills,
        "interrupted": len(under.interrupted),
        "trainings": under.told,
        "locks": under.locks,
        "refused": text.count("cannot be locked"),
    }


def main() -> None:
    """Print what is told, and keep it in FOLDER/kills.json."""
    parser = argparse.ArgumentParser()
    for name, default in (("--kills", 20), ("--seed", 0), ("--cores", 1)):
        parser.add_argument(name, type=int, default=default)
    parser.add_argument("folder", type=Path)
    parser.add_argument("targets", nargs="*")
    args = parser.parse_args()
    told = run(args.folder, args.targets, args.kills, args.seed, args.cores)
    (args.folder / "kills.json").write_text(json.dumps(told, indent=1) + "\n")
    print(json.dumps({name: value for name, value in told.items() if name != "kills"}, indent=1))


if __name__ == "__main__":
    main()
