"""`pauses.py SECONDS` does nothing on each core but read the clock, and prints in milliseconds how late the machine makes
even that: the 99th percentile over the time, and the longest pause. Nothing that runs here can be later less often."""

import multiprocessing
import os
import sys
import time

SHARE = 0.01


def pauses_of(core, seconds):
    """The pauses of one core that are longer than reading the clock takes."""
    os.sched_setaffinity(0, {core})
    found, last = [], time.perf_counter()
    end = last + seconds
    while last < end:
        now = time.perf_counter()
        if now - last > 1e-4:
            found.append(now - last)
        last = now
    return found


def late(pauses, seconds):
    """What a share of all instants is later than: within a pause, an instant is as late as the pause has left."""
    low, high = 0.0, max(pauses, default=0.0)
    for _ in range(50):
        middle = (low + high) / 2
        later = sum(pause - middle for pause in pauses if pause > middle)
        low, high = (middle, high) if later > SHARE * seconds else (low, middle)
    return high


def main():
    seconds, cores = float(sys.argv[1]), sorted(os.sched_getaffinity(0))
    with multiprocessing.Pool(len(cores)) as pool:
        found = pool.starmap(pauses_of, [(core, seconds) for core in cores], chunksize=1)
    pauses = [pause for of_core in found for pause in of_core]
    print(late(pauses, seconds * len(cores)) * 1e3, max(pauses, default=0.0) * 1e3)


if __name__ == "__main__":
    main()
