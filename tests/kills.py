"""For tests that kill jobs (tests/kill_*.py): start, kill ranks, wait for the end."""
import glob
import os
import random
import signal
import subprocess

RETORT = os.environ["RETORT"]
MPIRUN = os.environ.get("MPIRUN", "mpirun --oversubscribe").split()


def start(ranks, *words):
    # without this, mpirun waits for a second before it kills the remaining ranks
    env = {**os.environ, "OMPI_MCA_odls_base_sigkill_timeout": "0"}
    return subprocess.Popen(
        [*MPIRUN, "-np", str(ranks), RETORT, *words], stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=env)


def look(pid):
    """What a process is doing, according to /proc."""
    said = []
    for name in ("comm", "wchan", "stack"):
        try:
            with open(f"/proc/{pid}/{name}") as f:
                said.append(f.read().strip().replace("\n", " < "))
        except OSError as e:
            said.append(str(e))
    return f"{pid}: " + "; ".join(said)


def finish(job):
    """Exit code and stderr of the job; it must not hang, whatever was killed."""
    try:
        err = job.communicate(timeout=240)[1]  # also on a busy machine
    except subprocess.TimeoutExpired:
        left = [job.pid, *children(job.pid)]
        seen = "\n".join(look(pid) for pid in left)
        for pid in reversed(left):
            os.kill(pid, signal.SIGKILL)
        said = job.communicate()[1]
        raise AssertionError(f"hangs:\n{seen}\nit said: {said}") from None
    return job.returncode, err


def children(pid):
    found = []
    for path in glob.glob(f"/proc/{pid}/task/*/children"):
        try:
            with open(path) as f:
                found += [int(x) for x in f.read().split()]
        except OSError:  # it has just ended
            pass
    return found


def strike(job, rng: random.Random):
    """Kill one rank or, equally often, all of them."""
    ranks = children(job.pid)
    if ranks and rng.random() < 0.5:
        ranks = [rng.choice(ranks)]
    for pid in ranks:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
