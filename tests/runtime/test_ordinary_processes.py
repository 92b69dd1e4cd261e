"""A worker process is an ordinary process, and ends with all it has started."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .deployment import Deployment, deployed
from .template import PIPELINES

ORDINARY = (PIPELINES / "ordinary.py").read_text(encoding="utf-8")


@pytest.fixture(scope="module", params=["fork", "none"])
def ordinary(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """Yield a deployment with two processes, forked ones or such as load their own model."""
    settings = {"WORKER_CONCURRENCY": "2", "MODEL_SHARING": request.param}
    with deployed(tmp_path_factory.mktemp("ordinary"), ORDINARY, settings) as deployment:
        deployment.start_redis()
        deployment.start_worker(wait=False)
        deployment.start_api()
        deployment.wait_for_worker()
        yield deployment


def ask(deployment: Deployment, what: str, **details: Any) -> dict[str, Any]:
    """Return what the pipeline answers."""
    answer = deployment.predict({"do": what, **details}, Prefer="wait=50")
    assert answer.status_code == 200, f"{answer.text}\n{deployment.output()}"
    return dict(answer.json())


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that waits to be reaped does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("way", ["pool", "executor", "executor, spawn"])
def test_multiprocessing_works_in_predict(ordinary: Deployment, way: str) -> None:
    for _ in range(5):  # once in a while a child got stuck on its end
        assert ask(ordinary, way)["result"] == [0, 1, 4, 9]


@pytest.mark.parametrize("ordinary", ["fork"], indirect=True)
def test_forked_processes_draw_different_numbers(ordinary: Deployment) -> None:
    def draw() -> dict[int, list[float]]:
        ids = [ordinary.accept({"do": "chance"}) for _ in range(4)]
        answers = [ordinary.final_status(each)["result"] for each in reversed(ids)]
        first = {answer["pid"]: answer["result"] for answer in answers}
        return first if len(first) == 2 else {}

    (numpy_one, python_one), (numpy_other, python_other) = ordinary.wait(
        draw, "two processes draw"
    ).values()
    assert numpy_one != numpy_other
    assert python_one != python_other


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_process_has_started_ends_with_it(
    ordinary: Deployment, death: signal.Signals
) -> None:
    answer = ask(ordinary, "leave children")
    assert all(is_alive(pid) for pid in answer["result"])
    os.kill(answer["pid"], death)
    ordinary.wait(
        lambda: not any(is_alive(pid) for pid in answer["result"]), "its children have ended", 10
    )
    ordinary.wait(lambda: ordinary.predict({"do": "nothing"}).ok, "there is a model again", 30)


def test_children_of_a_living_process_are_left_alone(ordinary: Deployment) -> None:
    """Also when another process of the pool dies."""
    found: dict[int, list[int]] = {}

    def both() -> bool:
        answer = ask(ordinary, "leave children")
        found.setdefault(answer["pid"], []).extend(answer["result"])
        return len(found) == 2

    ordinary.wait(both, "both processes have children")
    (victim, orphans), (_, others) = found.items()
    os.kill(victim, signal.SIGKILL)
    ordinary.wait(lambda: not any(is_alive(pid) for pid in orphans), "they have ended", 10)
    assert all(is_alive(pid) for pid in others)


def test_when_the_worker_ends_nothing_is_left(ordinary: Deployment) -> None:
    children = ask(ordinary, "leave children")["result"]
    worker = ordinary.services["denzel"]
    worker.process.terminate()
    assert worker.process.wait(30) == 0, worker.output()
    assert not any(is_alive(pid) for pid in children)


def test_what_a_killed_worker_has_left_behind_is_ended_by_the_next(tmp_path: Path) -> None:
    with deployed(tmp_path, ORDINARY) as deployment:
        deployment.start_redis()
        deployment.start_worker(wait=False)
        deployment.start_api()
        deployment.wait_for_worker()
        children = ask(deployment, "leave children")["result"]
        worker = deployment.services["denzel"]
        worker.process.kill()
        worker.process.wait(10)
        assert all(is_alive(pid) for pid in children)
        deployment.start_worker()
        assert not any(is_alive(pid) for pid in children)
        assert is_alive(deployment.services["api"].pid)


# Models of their own


@pytest.mark.parametrize("gpus", ["", "5,7"])
def test_a_process_that_fails_to_load_says_which_one(tmp_path: Path, gpus: str) -> None:
    settings = {"MODEL_SHARING": "none", "WORKER_CONCURRENCY": "2", "TEST_LOAD_FAILS": "1"}
    settings |= {"GPU": "1", "CUDA_VISIBLE_DEVICES": gpus} if gpus else {}
    with deployed(tmp_path, ORDINARY, settings) as deployment:
        deployment.start_redis()
        deployment.start_worker_unready()
        first = "GPU 5: " if gpus else "process 1: "  # whichever fails first
        said = ("ERROR", f"{first}load_model raised OSError: no such model")
        deployment.wait(lambda: deployment.state("worker") == said, "the worker says ERROR")


def test_a_worker_is_stopped_at_once_while_its_processes_load(tmp_path: Path) -> None:
    settings = {"MODEL_SHARING": "none", "WORKER_CONCURRENCY": "2", "TEST_LOAD_SECONDS": "60"}
    with deployed(tmp_path, ORDINARY, settings) as deployment:
        deployment.start_redis()
        worker = deployment.start_worker_unready()
        run_directory = Path(deployment.environment["DENZEL_RUN_DIR"])
        deployment.wait(
            lambda: (
                len(list(run_directory.glob("worker-process-?.json"))) == 2
                and "lab ready" in worker.output()
            ),
            "both processes load",
        )
        worker.process.terminate()
        worker.process.wait(10)


def test_a_worker_that_starts_over_leaves_nothing_of_its_first_load(tmp_path: Path) -> None:
    """Here a child of load_model, as multiprocessing.Manager has one."""
    started = "    multiprocessing.Process(target=sleep_for_ever, args=('started',)).start()\n"
    started += "    while not Path('started').exists(): time.sleep(0.01)\n"
    started += "    note = Path('loads').open('a').write(f'{Path(\"started\").read_text()}\\n')\n"
    started += "    Path('started').unlink()\n"
    started += "    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()\n"
    pipeline = ORDINARY.replace("    np.random.seed(1)\n", f"{started}    np.random.seed(1)\n")
    with deployed(tmp_path, pipeline, {"WORKER_CONCURRENCY": "auto"}) as deployment:
        deployment.start_redis()
        deployment.start_worker()
        first, second = map(int, (tmp_path / "loads").read_text(encoding="ascii").split())
        assert not is_alive(first)
        assert is_alive(second)
        assert "Python (Thread" in deployment.state("worker")[1]


@pytest.mark.parametrize("sharing", ["auto", "none"])
def test_a_load_that_takes_too_long_is_an_error(tmp_path: Path, sharing: str) -> None:
    settings = {"MODEL_SHARING": sharing, "TEST_LOAD_SECONDS": "60", "MODEL_LOAD_TIMEOUT": "1"}
    with deployed(tmp_path, ORDINARY, settings) as deployment:
        deployment.start_redis()
        deployment.start_worker_unready()
        deployment.wait(lambda: deployment.state("worker")[0] == "ERROR", "the worker says ERROR")
        assert "longer than MODEL_LOAD_TIMEOUT=1 seconds" in deployment.state("worker")[1]


def test_a_load_that_never_comes_back_to_python_is_ended(tmp_path: Path) -> None:
    code = "import ctypes\nctypes.PyDLL(None).sleep(3600)  # a PyDLL keeps the interpreter's lock"
    pipeline = ORDINARY.replace("    np.random.seed(1)", f"    {code}".replace("\n", "\n    "))
    with deployed(tmp_path, pipeline, {"MODEL_LOAD_TIMEOUT": "1"}) as deployment:
        worker = deployment.start("denzel", sys.executable, "-m", "app.runtime.worker")
        worker.process.wait(40)
        assert "pipeline.py" in worker.output()
        assert "in load_model" in worker.output()
