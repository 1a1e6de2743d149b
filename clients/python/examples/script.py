"""Reports the answers that stand in a file, one JSON object a line: python script.py answers.jsonl"""

import json
import sys
import time

from mlops_service_client import Client, Refusal


def refused(event: dict[str, object], refusal: Refusal) -> None:
    print(f"{event.get('event_id')}: {refusal.error}", file=sys.stderr)


def main(path: str) -> None:
    # With a spool, what could not be sent is sent by the next run.
    with open(path, encoding="utf-8") as lines, Client(on_reject=refused, spool_dir="spool") as tracking:
        for line in lines:
            # The buffer is bounded, and what does not fit is dropped; a script has the time to wait.
            while tracking.stats().waiting > 5000:
                time.sleep(0.01)
            tracking.track(json.loads(line))
    # `with` flushed.
    stats = tracking.stats()
    print(f"{stats.sent} sent, {stats.duplicates} known already, {stats.refused} refused, {stats.waiting} wait")


if __name__ == "__main__":
    main(sys.argv[1])
