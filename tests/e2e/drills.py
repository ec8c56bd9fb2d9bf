#!/usr/bin/env python3
"""Every drill in its short form: real processes, load, a fault, and the proof that nothing was lost.

    drills.py [--rate 2MB/s] [--slack 4] [DRILL ...]

The report of each drill is printed as it ends. The times that must hold are stretched, because this may be the dev build on two cores that
clients and nodes share; what may be lost, doubled or silently missing is not.
"""
import argparse
import subprocess

from harness import BIN, check, folder, main


def run():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rate", default="2MB/s")
    p.add_argument("--slack", default="4")
    p.add_argument("drills", nargs="*")
    args = p.parse_args()
    with folder() as d:
        command = [BIN, "drill", "--rate", args.rate, "--slack", args.slack, "--dir", str(d / "drills"), *args.drills]
        done = subprocess.run(command, stdin=subprocess.DEVNULL)
    check(done.returncode == 0, f"watchfire drill ended with {done.returncode}: its report is above")


if __name__ == "__main__":
    main(run)
