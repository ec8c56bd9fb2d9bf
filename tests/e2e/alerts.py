#!/usr/bin/env python3
"""The alert rules of deploy/alerts, as Prometheus reads them. Needs promtool, which comes with the package prometheus."""
import shutil
import subprocess
import sys

from harness import ROOT, say, skip


def main():
    promtool = shutil.which("promtool")
    if not promtool:
        skip("promtool is not installed")
    rules = sorted((ROOT / "deploy" / "alerts").glob("*.yaml"))
    if not rules:
        say("there are no rules")
        return 1
    result = subprocess.run([promtool, "check", "rules", *map(str, rules)], stdin=subprocess.DEVNULL, timeout=60)
    return 1 if result.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
