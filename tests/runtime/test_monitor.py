"""What Flower shows of a running deployment."""

from __future__ import annotations

import importlib
import os
from typing import Any

import pytest
import requests

from .deployment import Deployment


def task(lab: Deployment, task_id: str, state: str) -> dict[str, Any]:
    """Wait until Flower knows a task in a state; return what it tells of it."""

    def find() -> dict[str, Any] | None:
        answer = requests.get(f"{lab.monitor_url}/api/task/info/{task_id}", timeout=10)
        found = answer.json() if answer.ok else {}
        return found if found.get("state") == state else None

    found = lab.wait(find, f"Flower shows {task_id} as {state}", 20)
    assert found is not None
    return found


def test_a_prediction_is_shown_under_its_id_with_state_runtime_and_arguments(
    lab: Deployment,
) -> None:
    task_id = lab.accept({"do": "sleep", "seconds": 0.3})
    shown = task(lab, task_id, "SUCCESS")
    assert shown["name"] == "app.tasks.invoke_predict"
    assert shown["runtime"] >= 0.3
    assert shown["worker"] == "worker@lab"
    assert "slept" in shown["result"]
    page = requests.get(f"{lab.monitor_url}/task/{task_id}", timeout=10)
    assert page.status_code == 200
    assert task_id in page.text
    assert "SUCCESS" in page.text


def test_the_arguments_of_a_sync_prediction_are_shown(lab: Deployment) -> None:
    answer = lab.predict({"value": "found me"})
    shown = task(lab, answer.headers["Denzel-Task-Id"], "SUCCESS")
    assert "found me" in shown["args"]


def test_a_failed_prediction_is_shown_as_one(lab: Deployment) -> None:
    shown = task(lab, lab.accept({"process": "fail"}), "FAILURE")
    assert "name 'np' is not defined" in shown["exception"]


def test_the_worker_is_shown(lab: Deployment) -> None:
    def workers() -> Any:
        answer = requests.get(f"{lab.monitor_url}/api/workers?refresh=1", timeout=30)
        return answer.json() if answer.ok else {}

    found = lab.wait(lambda: workers().get("worker@lab"), "Flower shows the worker")
    assert found["stats"]["pool"]["max-concurrency"] == 2
    assert "worker@lab" in requests.get(f"{lab.monitor_url}/workers", timeout=10).text


def test_the_queues_of_predictions_are_shown(lab: Deployment) -> None:
    def found() -> set[str]:
        requests.get(f"{lab.monitor_url}/api/workers?refresh=1", timeout=30)
        answer = requests.get(f"{lab.monitor_url}/api/queues/length", timeout=30)
        assert answer.ok, answer.text
        return {queue["name"] for queue in answer.json()["active_queues"]}

    expected = {"celery", "predictions", "predictions.sync"}
    lab.wait(lambda: found() == expected, f"Flower shows {expected}", 30)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:5555"])
def test_a_name_that_leads_here_by_dns_rebinding_is_refused(lab: Deployment, host: str) -> None:
    for path in ("/workers", "/api/workers", "/task/x"):
        answer = requests.get(lab.monitor_url + path, headers={"Host": host}, timeout=10)
        assert answer.status_code == 403
        assert "ALLOWED_HOSTS" in answer.text
    assert requests.get(
        f"{lab.monitor_url}/workers", headers={"Host": "localhost:5555"}, timeout=10
    ).ok


def test_a_page_of_another_site_changes_nothing(lab: Deployment) -> None:
    url = f"{lab.monitor_url}/api/task/revoke/some-id"
    answer = requests.post(url, headers={"Origin": "http://evil.example"}, timeout=10)
    assert answer.status_code == 403
    assert "other origins" in answer.text


def test_the_monitors_state_is_up(lab: Deployment) -> None:
    lab.wait(lambda: lab.state("monitor") == ("UP", ""), "the monitor's state is UP")
    assert lab.state("api") == ("UP", "")
    assert lab.state("denzel") == ("UP", "")


def test_the_model_is_never_loaded_in_the_api_or_the_monitor(lab: Deployment) -> None:
    """Nor does the monitor so much as import the pipeline."""
    loads = lab.trace("load")
    assert {note["pid"] for note in loads} == {lab.services["denzel"].pid}
    importers = {note["program"] for note in lab.trace("import")}
    assert any("gunicorn" in program for program in importers)
    assert any("worker/__main__.py" in program for program in importers)
    assert not any("monitor" in program or "flower" in program for program in importers)


def test_the_monitor_leaves_the_processors_to_those_that_answer(lab: Deployment) -> None:
    def niceness(service: str) -> int:
        return os.getpriority(os.PRIO_PROCESS, lab.services[service].pid)

    assert niceness("monitor") > niceness("api") == niceness("denzel")


def test_events_are_heard_soon_however_long_redis_was_away(
    lab: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, since Redis would have to be away for minutes."""
    monitor = importlib.import_module("app.runtime.monitor")
    pauses: list[float] = []

    class Away(Exception):
        """Ends the loop."""

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 12:
            raise Away

    class Application:
        def connection(self) -> Any:
            raise ConnectionRefusedError("Connection refused")

    monkeypatch.setattr(monitor.time, "sleep", sleep)
    events = object.__new__(monitor.SteadyEvents)
    events.capp = Application()
    with pytest.raises(Away):
        events.run()
    assert set(pauses) == {monitor.RECONNECT_SECONDS}
