"""The commands in the sections ``denzel --help`` shows them in, and where each is defined.

``denzel --help`` needs nothing but this table; a command's module is imported when it is called.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click


@dataclass(frozen=True)
class Entry:
    """Where a command is defined, and its line in ``denzel --help``: its docstring's first."""

    module: str
    summary: str

    def load(self, name: str) -> click.Command:
        """Import the module and return its command called ``name``."""
        module = importlib.import_module(f"denzel.commands.{self.module}")
        command: click.Command = getattr(module, name)
        return command


SECTIONS: dict[str, dict[str, Entry]] = {
    "Build": {
        "startproject": Entry("build", "Build the skeleton of a new project called NAME."),
        "dev": Entry("develop", "Run the project in this terminal; restart at each save."),
        "check": Entry("build", "Try the pipeline without services, on a request in FILE."),
        "build": Entry("release", "Build an image with code, model and packages in it."),
        "upgrade": Entry("build", "Bring the files denzel owns up to this version."),
    },
    "Run": {
        "launch": Entry("run", "Build and start all services."),
        "start": Entry("run", "Start the stopped services."),
        "stop": Entry("run", "Stop the services; queue, results and response mode stay."),
        "restart": Entry("run", "Stop and start the services: changed code takes effect."),
        "reload": Entry("replacement", "Take up changed files without downtime, if they work."),
        "rollback": Entry("replacement", "Go back to an earlier version without downtime."),
        "versions": Entry("replacement", "List the versions that one can go back to."),
        "scale": Entry("scaling", "Run several workers or APIs: denzel=3 api=2."),
        "shutdown": Entry("run", "Stop and remove all services; the project's files stay."),
    },
    "Watch": {
        "status": Entry("watch", "Show the state of the services and the worker."),
        "stats": Entry("watch", "Show rates, times, queues and processes."),
        "logs": Entry("watch", "Show what the services print."),
        "logworker": Entry("watch", "Show the worker's log file, logs/worker.log."),
        "open": Entry("pages", "Open the API's or the monitor's page in a browser."),
        "shell": Entry("watch", "Open an interactive bash in a service."),
    },
    "Requirements": {
        "updatepipreqs": Entry("requirements", "Install requirements.txt, then restart."),
        "updateosreqs": Entry("requirements", "Run requirements.sh, then restart."),
        "updatereqs": Entry("requirements", "Apply both requirements files, then restart."),
    },
    "Predict": {
        "predict": Entry("predictions", "Send a request from FILE to the running API."),
        "result": Entry("predictions", "Print the prediction of an asynchronous request."),
        "response": Entry("predictions", "Choose how /predict answers from now on."),
        "callbacks": Entry("predictions", "List undelivered callbacks, retry or drop them."),
        "apikey": Entry("predictions", "Make an API key called NAME and print it."),
    },
    "Many machines": {
        "export": Entry("export", "Write what Swarm or Kubernetes deploys the project from."),
    },
    "First steps": {
        "demo": Entry("demo", "Serve an iris classifier and ask it for two predictions."),
        "doctor": Entry("doctor", "Look for what this machine lacks to run projects."),
        "completion": Entry("completion", "Print a completion script for bash, zsh or fish."),
    },
}

COMMANDS = {name: entry for entries in SECTIONS.values() for name, entry in entries.items()}
