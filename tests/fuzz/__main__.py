"""``python -m tests.fuzz --requests 100000 --seed 1``: exit code 1 if anything was found."""

import sys
from argparse import ArgumentParser

from tqdm import tqdm

from tests.fuzz.run import fuzz

SHOWN = 20  # faults


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(text + "\n")


def main() -> int:
    """Fuzz, and print what came of it."""
    parser = ArgumentParser(prog="tests.fuzz", description=__doc__, allow_abbrev=False)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tqdm(total=arguments.requests, unit="request", disable=None) as bar:
        findings = fuzz(arguments.requests, arguments.seed, bar.update)
    for answer, count in sorted(findings.answers.items()):
        say(f"{count:>8,} {answer}")
    for fault in findings.faults[:SHOWN]:
        say(fault)
    say(f"{findings.num_requests:,} requests, {len(findings.faults)} faults")
    return bool(findings.faults)


if __name__ == "__main__":
    sys.exit(main())
