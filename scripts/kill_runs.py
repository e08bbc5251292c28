#!/usr/bin/env python3
"""Kills runs of a study at random moments, resumes them, and compares every byte.

    python scripts/kill_runs.py TUREEN [--kills 200] [--seed 1] [--full-disk]

TUREEN is the program, such as target/release/tureen. The study trains two adapters with
checkpoints, saves them, evaluates a grid of soups, draws figures and gathers tables. It runs once
undisturbed. Then, in folders of their own, runs are killed (SIGKILL) at random moments, every
second time in the middle of a write: as soon as there is a file that is being written aside. After
each kill the store must verify clean; the same command is given again until the run ends, which
must leave the same files with the same bytes and have printed the same text. Of run.json the
times do not count.

--full-disk also runs the study with its store, then with its run folder, on a disk that is too
small (a tmpfs; needs root on Linux).

Prints a line a finished run, and at the end how many kills met which stage. Needs Python 3.9 and
nothing else, on a system with SIGKILL.
"""

import argparse
import collections
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STUDY = """
study(#{ name: "killed", question: "Does it come out the same?", seed: 5 });
let base = model("mini");
let domains = datasets(["films", "news"]).map(|d| d.sample(14, #{ seed: 1 }));
let adapters = train(base, domains, #{ epochs: 3, batch: 8, keep: "epochs" });
adapters.push(train(base, domains[0], #{ adapter: "lora", epochs: 3, batch: 8, sparsity: 0.5, prune_by: "movement" }));
for a in adapters { a.save(`adapters/${a.kind}/${a.name}`); }
let two = [adapters[0], adapters[1]];
let flips = concat(two.map(|a| sign_flips(a.checkpoints, #{ initial: true }).add("name", |r| a.name)));
flips.save("flips.csv");
flips.line("step", "rate", #{ color: "name" }).save("flips.svg");
let sets = subsets(two, 1..=2);
let rows = grid(#{ density: [0.3, 0.6] }, |c| evaluate_all(base, soups(sets, #{ method: "ties", density: c.density })));
print(rows);
rows.save("rows.csv");
rows.scatter("accuracy", "drop", #{ color: "dataset" }).save("rows.svg");
rows.filter(|r| r.size > 1).scatter("sign_diff", "drop").save("rows.png");
record("rows", rows);
record("flips", flips);
"""

# What tells a stage: the first of these that is missing in the run's folder.
STAGES = [
    ("run.json", "starting"),
    ("adapters", "training"),
    ("adapters/lora/films/tureen.json", "saving"),
    ("flips.svg", "signs"),
    ("rows.csv", "evaluating"),
    ("rows.png", "drawing"),
    ("report.html", "gathering"),
]


class Place:
    """A folder with the study, a store and a run."""

    def __init__(self, tureen, folder, store=None, out="out"):
        self.tureen, self.folder, self.out = tureen, Path(folder), out
        self.store = Path(store or self.folder / "store")
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "study.rhai").write_text(STUDY)

    def start(self, *arguments):
        return subprocess.Popen(
            [self.tureen, *arguments],
            cwd=self.folder,
            env=dict(os.environ, TUREEN_STORE=str(self.store)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self):
        return self.start("run", "study.rhai", "--out", self.out)

    def verify(self):
        process = self.start("store", "verify")
        out, err = process.communicate()
        if process.returncode or "all sound" not in out:
            sys.exit(f"the store does not verify in {self.folder}: {out}{err}")

    def stage(self):
        run = self.folder / self.out
        return next((name for file, name in STAGES if not (run / file).exists()), "ending")

    def writes(self):
        """Files that are being written aside, or that a killed write left."""
        roots = [self.folder / self.out, self.store]
        return {p for root in roots for p in files_below(root) if p.name.startswith(".writing-")}

    def left(self):
        """The run's files by name; of its record no times."""
        root = self.folder / self.out
        found = {str(p.relative_to(root)): p.read_bytes() for p in files_below(root)}
        record = json.loads(found["run.json"])
        if record["status"] != "done":
            sys.exit(f"{root} is {record['status']}")
        record.update(started=None, ended=None, found=None)
        found["run.json"] = json.dumps(record).encode()
        return found


def files_below(root):
    # Folders and files come and go meanwhile.
    for folder, _, names in os.walk(root):
        yield from (Path(folder) / name for name in names)


def finished(process):
    out, err = process.communicate()
    if process.returncode:
        sys.exit(f"a run failed: {err}")
    return out, err


def kill_in_a_write(place, process, seconds):
    """Kills as soon as a file is written aside, after `seconds` at the earliest."""
    time.sleep(seconds)
    before = place.writes()
    while process.poll() is None:
        if place.writes() - before:
            process.kill()
            return


def compare(found, expected, where):
    names = [n for n in sorted({*found, *expected}) if found.get(n) != expected.get(n)]
    if names:
        sys.exit(f"{where} differs from the undisturbed run in {', '.join(names)}")


def kill_runs(tureen, root, kills, expected, printed, whole):
    stages, resumed, halves, killed, runs = collections.Counter(), 0, 0, 0, 0
    while killed < kills:
        runs += 1
        place = Place(tureen, root / f"run-{runs}")
        own = 0
        while True:
            process = place.run()
            # The last of a run, and of all, goes through.
            if own < 12 and killed < kills:
                wait = whole * random.random() ** 2
                if random.random() < 0.5:
                    kill_in_a_write(place, process, wait)
                else:
                    time.sleep(wait)
                    process.kill()
            out, err = process.communicate()
            resumed += err.count("goes on after epoch")
            if process.returncode == 0:
                break
            if process.returncode != -9:
                sys.exit(f"a run failed in {place.folder}: {err}")
            own, killed = own + 1, killed + 1
            stages[place.stage()] += 1
            halves += bool(place.writes())
            place.verify()
        compare(place.left(), expected, place.folder)
        if out != printed:
            sys.exit(f"{place.folder} printed another text")
        print(f"run {runs}: {own} kills, {killed} of {kills}, same bytes", flush=True)
    told = ", ".join(f"{name} {n}" for name, n in stages.most_common())
    print(f"{killed} kills over {runs} runs, all the same as undisturbed; while {told}")
    print(f"{resumed} trainings went on from an epoch; {halves} kills left a file half-written")


def full_disk(tureen, root, expected, printed):
    """A store, and a run's folder, on a disk of 1 MB."""
    small = root / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], check=True)
    try:
        place = Place(tureen, root / "full-store", store=small / "store")
        out, err = finished(place.run())
        if err.count("the store cannot be written") != 1:
            sys.exit(f"a full store is not told once: {err}")
        found = place.left()
        # What was not kept is not in the record.
        kept = json.loads(found["run.json"])["store"]
        for files in (found, expected := dict(expected)):
            files["run.json"] = json.dumps(json.loads(files["run.json"]) | {"store": []})
        compare(found, expected, place.folder)
        if out != printed:
            sys.exit("with a full store another text is printed")
        place.verify()
        print(f"a full store: told once, {len(kept)} entries kept, same bytes")

        place = Place(tureen, root / "full-run", out=str(small / "out"))
        process = place.run()
        _, err = process.communicate()
        if process.returncode != 1 or "No space left" not in err:
            sys.exit(f"a full disk is not told: {process.returncode} {err}")
        if place.writes():
            sys.exit(f"a full disk leaves half-written files: {place.writes()}")
        print(f"a full disk: {err.strip().splitlines()[-1]}")
        subprocess.run(["mount", "-o", "remount,size=64m", small], check=True)
        finished(place.run())
        print("and with room it goes on to its end")
    finally:
        subprocess.run(["umount", small], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tureen")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--full-disk", action="store_true")
    given = parser.parse_args()
    random.seed(given.seed)
    tureen = os.path.abspath(given.tureen)
    with tempfile.TemporaryDirectory(prefix="tureen-kills-") as folder:
        root = Path(folder)
        calm = Place(tureen, root / "calm")
        start = time.monotonic()
        printed, _ = finished(calm.run())
        whole = time.monotonic() - start
        print(f"undisturbed: {whole:.1f} s, {len(calm.left())} files", flush=True)
        if given.full_disk:
            full_disk(tureen, root, calm.left(), printed)
        if given.kills:
            kill_runs(tureen, root, given.kills, calm.left(), printed, whole)


if __name__ == "__main__":
    main()
