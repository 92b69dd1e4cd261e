"""The exported Deployments, run for real by ``podman kube play``.

Podman reads Kubernetes' manifests, but not all that is in them.  ``playable`` names what is changed
for its sake; the rest runs as it was exported: user, read-only root, no capabilities, seccomp.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import yaml

from denzel.export import OVERLAY, kubernetes_files, write
from denzel.polling import polls
from denzel.project import Project
from engine import docker
from export.manifests import Manifest, build, one

from .nodes import Node, load_everywhere

READY_SECONDS = 400
NETWORK = "denzel"
PODMAN = ("env", "PODMAN_IGNORE_CGROUPSV1_WARNING=1", "podman")
SHARED_MEMORY = "/dev/shm"
ORDER = ("redis", "worker", "callbacks", "monitor", "api")


def playable(manifests: list[Manifest], name: str, redis_user: tuple[int, int]) -> list[Manifest]:
    """Return what Podman can run of one Deployment or StatefulSet.

    - A StatefulSet becomes a Deployment and its claims of their own, of which Podman knows.
    - Files belong to root, since Podman has no ``fsGroup``: a Secret's are readable by all, and
      an ``emptyDir`` in memory, which only root could write to, is an ordinary one.
    - Volumes of one name are one in Podman, and a Secret's is written anew by each ``play``: each
      Deployment gets its own.  ``/dev/shm`` is Podman's.
    - Redis runs as the user of its image, as whom Podman makes the volume.
    """
    found = copy.deepcopy(manifests)
    kind = "StatefulSet" if name == "redis" else "Deployment"
    manifest = one(found, kind, name)
    spec = manifest["spec"]["template"]["spec"]
    manifest["spec"]["replicas"] = 1
    claims = manifest["spec"].pop("volumeClaimTemplates", [])
    if kind == "StatefulSet":
        manifest["kind"] = "Deployment"
        del manifest["spec"]["serviceName"]
        user, group = redis_user
        spec["securityContext"].update(runAsUser=user, runAsGroup=group)
    for claim in claims:
        volume = claim["metadata"]["name"]
        spec["volumes"].append({"name": volume, "persistentVolumeClaim": {"claimName": volume}})
    for volume in spec["volumes"]:
        if "secret" in volume:
            volume["secret"]["defaultMode"] = 0o444
            volume["secret"]["secretName"] += f"-{name}"
        if "emptyDir" in volume:
            volume["emptyDir"] = {}
            volume["name"] = f"{name}-{volume['name']}"
    names = {volume["name"] for volume in spec["volumes"]}
    (container,) = spec["containers"]
    container["volumeMounts"] = [
        {**each, "name": each["name"] if each["name"] in names else f"{name}-{each['name']}"}
        for each in container["volumeMounts"]
        if each["mountPath"] != SHARED_MEMORY
    ]
    data = [each for each in found if each["kind"] in ("ConfigMap", "Secret")]
    one(data, "Secret", "secrets")["metadata"]["name"] += f"-{name}"
    return [*data, *claims, manifest]


class Cluster:
    """A machine with Podman, on which every Deployment runs once."""

    def __init__(self, manifests: list[Manifest], *images: str) -> None:
        self.manifests = manifests
        self._images = images
        self.node = Node("denzel-test-podman", "bridge", "sleep", "infinity")
        self._redis_user = tuple(
            int(docker("run", "--rm", "--entrypoint", "id", images[-1], option, "redis"))
            for option in ("-u", "-g")
        )

    def start(self) -> None:
        """Load the images and start every Deployment."""
        load_everywhere([self.node], "podman", *self._images)
        self.podman("network", "create", NETWORK)
        for name in ORDER:
            self.play(name)

    def podman(self, *arguments: str, stdin: str = "") -> str:
        """Run a Podman command."""
        return self.node.run(*PODMAN, *arguments, stdin=stdin.encode())

    def play(self, name: str) -> None:
        """Start a Deployment; others find it under its own name, as under a Service's."""
        user, group = self._redis_user
        wanted = yaml.safe_dump_all(playable(self.manifests, name, (user, group)))
        options = ["--network", f"{NETWORK}:alias={name}"]
        if name == "api":
            options += ["--publish", "8000:8000"]
        self.podman("kube", "play", *options, "-", stdin=wanted)

    def inside(self, name: str, *command: str) -> tuple[int, str]:
        """Run a command in a container; return its exit code and what it printed."""
        done = self.node.attempt(*PODMAN, "exec", f"{name}-pod-{name}", *command)
        return done.returncode, done.stdout.decode()

    def container(self, name: str) -> Manifest:
        """Return the container of a Deployment as its manifest has it."""
        kind = "StatefulSet" if name == "redis" else "Deployment"
        spec = one(self.manifests, kind, name)["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        assert isinstance(container, dict)
        return container


@pytest.fixture(scope="module")
def cluster(iris: Project, image: str) -> Iterator[Cluster]:
    """The example, deployed, with its model loaded."""
    directory = iris.root.parent / "kubernetes"
    write(kubernetes_files(iris, image, "iris-classifier"), directory, force=False)
    made = Cluster(build(directory / OVERLAY), image, iris.settings.redis_image)
    try:
        made.start()
        url = f"http://{made.node.address}:8000/health/ready"
        for _ in polls(0.5, timeout=READY_SECONDS):
            if _status(url) == 200:
                break
        else:
            logs = [made.node.attempt("podman", "logs", f"{n}-pod-{n}").stdout for n in ORDER]
            pytest.fail("\n".join(log.decode()[-2000:] for log in logs))
        yield made
    finally:
        made.node.remove()


def _status(url: str) -> int:
    try:
        return requests.get(url, timeout=5).status_code
    except requests.RequestException:
        return 0


def test_it_predicts(cluster: Cluster, iris: Project) -> None:
    body = json.loads((iris.root / "request.json").read_text(encoding="utf-8"))
    url = f"http://{cluster.node.address}:8000"
    expected: Any = {"a123": "Iris-setosa", "b456": "Iris-virginica"}
    assert requests.post(f"{url}/predict", json=body, timeout=30).json() == expected
    queued = requests.post(
        f"{url}/predict", json=body, headers={"Prefer": "respond-async"}, timeout=30
    ).json()
    for _ in polls(0.2, timeout=60):
        answer = requests.get(f"{url}/status/{queued['data']['task_id']}", timeout=30).json()
        if answer["status"] != "PENDING":
            break
    assert answer["result"] == expected


@pytest.mark.parametrize("name", ORDER)
def test_the_probes_commands_succeed(cluster: Cluster, name: str) -> None:
    container = cluster.container(name)
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        command = container.get(probe, {}).get("exec", {}).get("command")
        if command:
            for _ in polls(0.5, timeout=60):  # its service may still be starting
                code, printed = cluster.inside(name, *command)
                if code == 0:
                    break
            assert code == 0, (probe, printed)


@pytest.mark.parametrize("name", ORDER)
def test_it_may_do_nothing_but_serve(cluster: Cluster, name: str) -> None:
    code, printed = cluster.inside(name, "sh", "-c", "id -u; grep CapEff /proc/self/status")
    user, capabilities = printed.splitlines()
    assert (code, capabilities.split()[1]) == (0, "0" * 16)
    assert user != "0"
    assert cluster.inside(name, "touch", "/etc/changed")[0] != 0
