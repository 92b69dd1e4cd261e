"""Examine the machine."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from denzel import console
from denzel.commands.options import json_option
from denzel.doctor import diagnose


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Look for what this machine lacks to run projects.

    Each finding comes with what to do about it.
    """
    with console.waiting("Looking at this machine"):
        findings = diagnose()
    if as_json:
        console.print_json([asdict(finding) for finding in findings])
    else:
        console.print_findings(findings)
    sys.exit(1 if any(finding.needed and not finding.ok for finding in findings) else 0)
