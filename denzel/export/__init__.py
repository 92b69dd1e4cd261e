"""Write what runs a project's image on many machines: Docker Swarm's stack, Kubernetes' manifests.

What is written are the files in ``templates/export``, plain YAML, whose few placeholders
(``__NAME__``) are filled in from the project's settings.
"""

from denzel.export.directory import Export, write
from denzel.export.kubernetes import (
    OVERLAY,
    kubernetes_files,
    namespace_of,
    overlay_changes,
)
from denzel.export.swarm import swarm_files

__all__ = [
    "OVERLAY",
    "Export",
    "kubernetes_files",
    "namespace_of",
    "overlay_changes",
    "swarm_files",
    "write",
]
