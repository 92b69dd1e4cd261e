"""What is noted of a local deployment from launch to shutdown."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from denzel.backends.local.layout import Layout

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class DeploymentRecord:
    """Where, in which boot of the machine, and under which supervisord services were started."""

    root: str
    mark: str
    boot: str
    supervisor: int

    @classmethod
    def of(cls, layout: Layout, supervisor: int) -> DeploymentRecord:
        """Return the record of the deployment that runs under process ``supervisor``."""
        return cls(str(layout.root), layout.mark, _boot(), supervisor)

    @classmethod
    def read(cls, layout: Layout) -> DeploymentRecord | None:
        """Return the record of ``layout``'s own deployment; None when there is none.

        A moved project keeps its mark, and a restarted machine keeps the path although the
        mark may change; what differs in both came along with a copy of another project.
        """
        try:
            record = cls(**json.loads(layout.deployment.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return record if record.root == str(layout.root) or record.mark == layout.mark else None

    def write(self, layout: Layout) -> None:
        """Replace the record in one step."""
        temporary = layout.deployment.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(self)), encoding="utf-8")
        temporary.replace(layout.deployment)

    def session(self, layout: Layout) -> int | None:
        """Return the number of the session the services were started in, if it still holds.

        Process ids come again after a restart of the machine.
        """
        holds = self.mark == layout.mark and self.boot == _boot()
        return self.supervisor if holds else None


def _boot() -> str:
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
