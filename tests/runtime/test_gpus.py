"""The worker on GPUs: which process sees which, and what becomes of one that fails."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import requests

from app.runtime.store.keys import PREDICTIONS_QUEUE
from app.runtime.worker.report import count_failed

from .deployment import Deployment, deployed
from .template import PIPELINES

STAND_INS = Path(__file__).with_name("stand_ins")
GPU_PIPELINE = (PIPELINES / "gpu.py").read_text(encoding="utf-8")
FIRST, SECOND = "GPU-aaaa-0", "GPU-bbbb-1"
GIB = 2**30
LONG_LOAD_SECONDS = 5.0
"""More than the 4 s after which Celery by itself gives up a starting process."""


class GpuDeployment:
    """A deployment on two GPUs, which are what a file says."""

    def __init__(self, deployment: Deployment) -> None:
        self.lab = deployment
        self.boards: list[dict[str, Any]] = [
            {"uuid": uuid, "name": "NVIDIA H100", "total": 80 * GIB, "used": GIB, "busy": 0}
            for uuid in (FIRST, SECOND)
        ]
        self.change(0)
        self.loads_for(0)

    def change(self, number: int, **facts: Any) -> None:
        """Change what is true of a GPU."""
        self.boards[number].update(facts)
        file = Path(self.lab.environment["TEST_GPUS"])
        file.with_suffix(".new").write_text(json.dumps(self.boards), encoding="utf-8")
        file.with_suffix(".new").replace(file)

    def loads_for(self, seconds: float) -> None:
        """Have the model take so long to load from now on."""
        (self.lab.directory / "seconds.txt").write_text(str(seconds), encoding="ascii")

    def record(self) -> dict[str, Any]:
        """Return all that the worker says of itself."""
        path = Path(self.lab.environment["DENZEL_RUN_DIR"]) / "worker.json"
        return dict(json.loads(path.read_text(encoding="utf-8")))

    def gpus(self) -> list[dict[str, Any]]:
        """Return what the worker says of its GPUs."""
        return list(self.record()["gpus"])

    def pids(self) -> list[list[int]]:
        """Return the processes on each GPU."""
        return [list(each["pids"]) for each in self.gpus()]

    def all_pids(self) -> set[int]:
        """Return all processes."""
        return {pid for pids in self.pids() for pid in pids}

    def processes(self, count: int) -> dict[int, dict[str, Any]]:
        """Return what ``count`` processes say of themselves, by id."""

        def ask() -> dict[int, dict[str, Any]]:
            # Each takes a while, so that none gets a second one while another is idle.
            ids = [self.lab.accept({"seconds": 0.2}) for _ in range(2 * count)]
            found = {each["pid"]: each for each in map(self.result, ids)}
            return found if len(found) == count else {}

        return self.lab.wait(ask, f"{count} processes answer", 30)

    def result(self, task_id: str) -> dict[str, Any]:
        """Return what was predicted, once it is."""
        status = self.lab.final_status(task_id, 40)
        assert status["status"] == "SUCCESS", status
        return dict(status["result"])

    def wait_for_beat(self) -> None:
        """Wait until the worker gives its next heartbeat."""
        file = Path(self.lab.environment["DENZEL_RUN_DIR"]) / "worker.beat"
        before = file.read_bytes() if file.exists() else b""
        self.lab.wait(lambda: file.exists() and file.read_bytes() != before, "a heartbeat", 20)

    def queued(self) -> int:
        """Return how many asynchronous requests no worker has taken."""
        with redis.Redis(unix_socket_path=str(self.lab.redis_socket)) as client:
            return client.llen(PREDICTIONS_QUEUE)

    def kill(self, pid: int) -> None:
        """End a process, and wait until the worker is up with another."""
        os.kill(pid, signal.SIGKILL)
        self.lab.wait(lambda: pid not in self.all_pids(), "it is replaced", 20)
        self.lab.wait_for_worker()

    def is_ready(self) -> bool:
        """Tell what ``/health/ready`` does."""
        return requests.get(f"{self.lab.url}/health/ready", timeout=10).ok


@contextmanager
def on_two_gpus(directory: Path, **settings: str) -> Iterator[GpuDeployment]:
    """Yield a running deployment on two GPUs."""
    settings = {
        "GPU": "1", "WORKER_CONCURRENCY": "auto", "PYTHONPATH": str(STAND_INS),
        "TEST_GPUS": str(directory / "gpus.json"), **settings,
    }  # fmt: skip
    with deployed(directory, GPU_PIPELINE, settings) as deployment:
        found = GpuDeployment(deployment)
        deployment.start_redis()
        deployment.start_worker(wait=False)
        deployment.start_api()
        deployment.wait_for_worker()
        yield found


@pytest.fixture(scope="module")
def gpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GpuDeployment]:
    """Yield a deployment with two processes a GPU."""
    with on_two_gpus(tmp_path_factory.mktemp("gpus"), WORKERS_PER_GPU="2") as found:
        yield found


def test_each_gpu_gets_its_processes_which_load_the_model_for_themselves(
    gpus: GpuDeployment,
) -> None:
    found = gpus.processes(4)
    assert sorted(each["gpu"] for each in found.values()) == [FIRST, FIRST, SECOND, SECOND]
    assert all(each["loader"] == pid for pid, each in found.items())
    assert sorted(note["pid"] for note in gpus.lab.trace("load")) == sorted(found)
    # Not forked but started anew, as CUDA needs it: a fork has its parent's command line.
    parent = Path(f"/proc/{gpus.lab.services['denzel'].pid}/cmdline").read_bytes()
    assert all(Path(f"/proc/{pid}/cmdline").read_bytes() != parent for pid in found)


def test_a_process_sees_its_gpu_alone_already_when_it_starts(gpus: GpuDeployment) -> None:
    imports = {note["pid"]: note for note in gpus.lab.trace("import")}
    assert gpus.lab.services["denzel"].pid not in imports
    for uuid, pids in zip((FIRST, SECOND), gpus.pids(), strict=True):
        for pid in pids:
            assert imports[pid]["CUDA_VISIBLE_DEVICES"] == uuid
            assert imports[pid]["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            assert f"CUDA_VISIBLE_DEVICES={uuid}".encode() in environment


def test_the_worker_tells_of_each_gpu_and_goes_on_to(gpus: GpuDeployment) -> None:
    gpus.change(1, used=40 * GIB, busy=97)
    gpus.lab.wait(lambda: gpus.gpus()[1]["utilization_percent"] == 97, "97 % are told", 20)
    first, second = gpus.gpus()
    assert (first["label"], first["name"], first["uuid"]) == ("GPU 0", "NVIDIA H100", FIRST)
    assert (first["memory_used_bytes"], first["memory_total_bytes"]) == (GIB, 80 * GIB)
    assert (second["memory_used_bytes"], second["problem"]) == (40 * GIB, "")
    assert {*first["pids"], *second["pids"]} == {*gpus.processes(4)}
    # What a container's state files are read by:
    lines = gpus.lab.run("-m", "app.runtime.health").stdout.splitlines()
    records = dict(line.split(":", 1) for line in lines)
    worker = f"{gpus.lab.environment['DENZEL_RUN_DIR']}/worker.json"
    assert json.loads(records[worker])["gpus"][1]["utilization_percent"] == 97


@pytest.mark.parametrize("number", [0, 1])
def test_a_process_that_dies_is_replaced_on_its_gpu(gpus: GpuDeployment, number: int) -> None:
    before = gpus.pids()
    victim = before[number][1]
    if number:  # Celery by itself would give up one that takes more than 4 s to start
        gpus.loads_for(LONG_LOAD_SECONDS)
    loads = len(gpus.lab.trace("load"))
    gpus.kill(victim)
    gpus.loads_for(0)
    assert len(gpus.lab.trace("load")) == loads + 1
    after = gpus.pids()
    assert after[1 - number] == before[1 - number]
    assert set(before[number]) - set(after[number]) == {victim}
    assert [len(pids) for pids in after] == [2, 2]


def test_what_does_not_fit_into_memory_is_predicted_one_by_one_in_the_same_process(
    gpus: GpuDeployment,
) -> None:
    before = gpus.pids()
    busy = [gpus.lab.accept({"seconds": 1}) for _ in range(4)]
    for each in busy:
        gpus.lab.wait_until_begun(each)
    fits = [gpus.lab.accept({"memory": 3}) for _ in range(8)]
    never = gpus.lab.accept({"memory": 5})
    assert {gpus.result(each)["pid"] for each in fits} <= gpus.all_pids()
    failed = gpus.lab.final_status(never)["result"]
    assert failed["type"] == "OutOfMemoryError"
    assert failed["args"][0].startswith("CUDA out of memory. Tried to allocate 20.00 MiB. The GPU")
    assert "BATCH_MAX_SIZE" in failed["args"][0]
    assert "WORKERS_PER_GPU" in failed["args"][0]
    assert "is tried alone. The GPU's memory" in gpus.lab.services["denzel"].output()
    answer = gpus.lab.predict({"memory": 5}, Prefer="wait=20")
    assert answer.status_code == 500
    assert "CUDA out of memory" in answer.json()["description"]
    assert gpus.pids() == before


def test_a_process_that_lost_its_context_is_replaced_and_only_the_guilty_fails(
    gpus: GpuDeployment,
) -> None:
    before = gpus.all_pids()
    busy = [gpus.lab.accept({"seconds": 1}) for _ in range(4)]
    for each in busy:
        gpus.lab.wait_until_begun(each)
    innocent = [gpus.lab.accept({}) for _ in range(8)]
    guilty = gpus.lab.accept({"fault": "assert"})
    failed = gpus.lab.final_status(guilty, 40)["result"]
    assert failed["type"] == "GpuContextLost"
    assert "AcceleratorError: CUDA error: device-side assert triggered" in failed["args"][0]
    for each in (*busy, *innocent):
        assert gpus.result(each)["pid"]
    gpus.lab.wait(lambda: before - gpus.all_pids(), "one is replaced", 20)
    assert "is replaced: it lost its GPU's context" in gpus.lab.services["denzel"].output()


def test_a_client_that_waits_is_told_what_the_gpu_said(gpus: GpuDeployment) -> None:
    gpus.processes(4)
    before = gpus.all_pids()
    answer = gpus.lab.predict({"fault": "assert"}, Prefer="wait=20")
    assert answer.status_code == 500
    assert "GpuContextLost" in answer.json()["description"]
    assert "device-side assert triggered" in answer.json()["description"]
    gpus.lab.wait(lambda: before - gpus.all_pids(), "one is replaced", 20)
    gpus.processes(4)


def test_where_the_gpu_itself_fails_a_client_that_waits_is_answered_by_another(
    gpus: GpuDeployment,
) -> None:
    before = gpus.all_pids()
    answer = gpus.lab.predict({"fault": "ECC"}, Prefer="wait=20")
    assert answer.status_code == 200
    assert (gpus.lab.directory / "asked").exists()
    log = gpus.lab.services["denzel"].output()
    assert "NVIDIA H100): AcceleratorError: CUDA error: uncorrectable ECC error" in log
    gpus.lab.wait(lambda: before - gpus.all_pids(), "one is replaced", 20)


def test_what_a_lost_gpu_was_at_is_done_by_the_others(gpus: GpuDeployment) -> None:
    gpus.lab.wait_for_worker()
    before = gpus.pids()
    tasks = [gpus.lab.accept({"seconds": 6}) for _ in range(4)]
    for each in tasks:
        gpus.lab.wait_until_begun(each)
    gpus.change(1, lost=True)
    gpus.lab.wait(lambda: gpus.lab.state("worker")[0] == "ERROR", "the worker shows ERROR", 20)
    detail = gpus.lab.state("worker")[1]
    assert detail.startswith("GPU 1 (NVIDIA H100): it is lost (GPU is lost)")
    assert {gpus.result(each)["gpu"] for each in tasks} == {FIRST}
    assert gpus.gpus()[1]["problem"] == "GPU is lost"
    assert gpus.pids()[0] == before[0]
    assert gpus.is_ready()
    for _ in range(4):
        assert gpus.lab.predict({}, Prefer="wait=20").json()["gpu"] == FIRST


def test_without_any_gpu_left_nothing_is_ready_until_one_is_back(gpus: GpuDeployment) -> None:
    gpus.change(0, lost=True)
    gpus.lab.wait(lambda: not gpus.is_ready(), "it is not ready", 20)
    run_directory = gpus.lab.environment["DENZEL_RUN_DIR"]
    gpus.lab.wait(lambda: count_failed(run_directory) == 4, "every process says ERROR", 20)
    assert gpus.lab.state("worker")[0] == "ERROR"
    answer = gpus.lab.predict({}, Prefer="wait=20")
    assert answer.status_code == 503
    for _ in range(2):
        gpus.wait_for_beat()
    waiting = gpus.lab.accept({})
    gpus.wait_for_beat()
    assert gpus.queued() == 1  # where another worker could take it
    gpus.change(0, lost=False)
    for pid in gpus.pids()[0]:  # they would look again by themselves, each half minute
        os.kill(pid, signal.SIGTERM)
    assert gpus.result(waiting)["gpu"] == FIRST
    gpus.lab.wait(gpus.is_ready, "it is ready again", 20)


def test_without_any_gpu_the_worker_says_so(tmp_path: Path) -> None:
    settings = {"GPU": "1", "PYTHONPATH": str(STAND_INS)}
    with deployed(tmp_path, GPU_PIPELINE, settings) as deployment:
        worker = deployment.start_worker_unready()
        deployment.wait(lambda: deployment.state("worker")[0] == "ERROR", "an ERROR is shown", 20)
        assert "no GPU is found: NVIDIA's driver does not answer" in deployment.state("worker")[1]
        worker.stop()
        assert deployment.trace("load") == []


def test_a_gpu_that_nvml_does_not_know_is_served_all_the_same(tmp_path: Path) -> None:
    settings = {"CUDA_VISIBLE_DEVICES": "5,7", "TEST_GPUS": "/nowhere/gpus.json"}
    with deployed(tmp_path, GPU_PIPELINE, {"GPU": "1", **settings}) as deployment:
        (tmp_path / "seconds.txt").write_text("0", encoding="ascii")
        deployment.start_redis()
        deployment.start_worker()
        (note,) = deployment.trace("load")
        assert note["CUDA_VISIBLE_DEVICES"] == "5"
