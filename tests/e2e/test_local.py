"""The tutorial's life of a project, told by the installed ``denzel`` on local processes.

The tests are one story in the tutorial's order: each goes on where the one before ended.  The
packages are installed for real, so the first launch takes about half a minute.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from callback_receiver import Receiver
from command_line import running
from denzel.backends.local.layout import Layout
from denzel.backends.local.process_table import find_processes
from denzel.polling import polls
from denzel.project import Project
from denzel.services import SERVICES
from iris_classifier import (
    FLOWERS,
    IMPORT_NUMPY,
    INFO,
    PIPELINE,
    REQUIREMENTS,
    SPECIES,
    TRAINING,
    marked,
)
from local_deployment import SOON, Deployment
from runtime.load import SteadyLoad

TREE = {
    "Dockerfile",
    "__init__.py",
    "docker-compose.yml",
    "logs",
    "requirements.sh",
    "requirements.txt",
    "app/__init__.py",
    "app/assets/info.txt",
    "app/logic/__init__.py",
    "app/logic/pipeline.py",
    "app/tasks.py",
    "entrypoints/api.sh",
    "entrypoints/denzel.sh",
    "entrypoints/monitor.sh",
}


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    life = Deployment(tmp_path_factory.mktemp("tutorial"), "iris_classifier")
    yield life
    if life.root.exists():
        life.run("shutdown", "--purge")


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def lines(*states: str) -> str:
    """Return the lines of the services; the last state is that of all that follow redis."""
    shown = [*states, *states[-1:] * (len(SERVICES) - len(states))]
    named = zip(SERVICES, shown, strict=True)
    return "".join(["Services:\n", *(f"    {name} - {state}\n" for name, state in named)])


def up_lines(life: Deployment) -> str:
    ports = f"UP [ Port: {life.monitor_port} ]", f"UP [ Port: {life.api_port} ]"
    return lines("UP", *ports, "UP") + "Worker: worker@iris_classifier - UP\n"


def request(receiver: Receiver) -> dict[str, Any]:
    return {"callback_uri": receiver.uri, "data": FLOWERS}


def test_startproject_builds_the_tutorials_tree(life: Deployment) -> None:
    done = life.run("startproject", "iris_classifier", cwd=life.parent)
    assert done.stdout == "Successfully built iris_classifier project skeleton\n"
    assert {name for name in TREE if not (life.root / name).exists()} == set()
    assert life.denzel("status").startswith(
        'Haven\'t been created yet. Did you forget to run "denzel launch"?'
    )


def test_a_partial_project_is_launched(life: Deployment) -> None:
    life.edit("requirements.txt", REQUIREMENTS)
    life.edit("app/assets/info.txt", INFO)
    launched = life.run(
        "launch", "--local", "--api-port", str(life.api_port),
        "--monitor-port", str(life.monitor_port),
    )  # fmt: skip
    assert launched.returncode == 0, launched.stderr
    for service in SERVICES:
        assert f"Starting {service:<7} ... done\n" in launched.stderr
    installing = "PIP INSTALLING..."
    expected = lines(installing, installing, installing, "UP", installing)
    life.await_status(lambda text: text == expected)
    life.denzel("response", "--sync")
    assert life.await_ready() == up_lines(life)


def test_info_shows_what_the_user_wrote(life: Deployment) -> None:
    answer = requests.get(f"{life.api}/info", timeout=SOON)
    assert answer.content.decode() == INFO
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_the_monitor_answers(life: Deployment) -> None:
    page = requests.get(f"http://127.0.0.1:{life.monitor_port}/", timeout=SOON)
    assert page.status_code == 200
    assert "Flower" in page.text


def test_a_project_is_launched_once(life: Deployment) -> None:
    message = life.refused("launch", "--local")
    assert message == ('Error: Project already launched! Did you mean to run "denzel start"?\n')


def test_responses_become_asynchronous_without_a_restart(life: Deployment) -> None:
    before = life.processes()
    life.denzel("response", "--async")
    assert life.predict({}).json()["status"] == "success"
    assert life.processes() == before


def test_a_forgotten_import_is_told_by_the_status_of_the_task(
    life: Deployment, receiver: Receiver
) -> None:
    life.denzel("shell", stdin=f"cat > train.py <<'END'\n{TRAINING}\nEND\npython train.py\n")
    assert (life.root / "app/assets/iris_svc.pkl").exists()
    life.edit("app/logic/pipeline.py", PIPELINE.replace(IMPORT_NUMPY, ""))
    life.denzel("restart")
    life.await_ready()
    answer = life.predict(request(receiver))
    assert answer.status_code == 200
    assert answer.json()["status"] == "success"
    state, result = life.outcome(answer.json()["data"]["task_id"])
    assert state == "FAILURE"
    assert result["args"] == ["name 'np' is not defined"]


def test_check_tells_it_without_services(life: Deployment, receiver: Receiver) -> None:
    sample = json.dumps(request(receiver))
    failed = life.run("check", "-", "--json", stdin=sample)
    assert failed.returncode == 1
    assert "name 'np' is not defined" in failed.stdout
    life.edit("app/logic/pipeline.py", PIPELINE)
    passed = life.run("check", "-", "--json", stdin=sample)
    assert passed.returncode == 0, passed.stdout
    assert json.loads(passed.stdout)["result"] == SPECIES


def test_predictions_are_sent_to_the_callback(life: Deployment, receiver: Receiver) -> None:
    life.denzel("restart")
    life.await_ready()
    while not receiver.bodies.empty():
        receiver.bodies.get()
    answer = life.predict(request(receiver)).json()
    assert set(answer) == {"status", "data"}
    assert answer["status"] == "success"
    life.task_id = answer["data"]["task_id"]
    assert receiver.bodies.get(timeout=SOON) == SPECIES
    assert life.outcome(life.task_id) == ("SUCCESS", SPECIES)


def test_a_bad_request_is_told_at_once(life: Deployment, receiver: Receiver) -> None:
    flower = {name: 1.0 for name in ("sepal-length", "sepal-width", "petal-length")}
    answer = life.predict({"callback_uri": receiver.uri, "data": {"a123": flower}})
    assert answer.status_code == 400
    assert answer.json() == {
        "title": "Bad input format",
        "description": "For each example all of the features [['sepal-length', 'sepal-width', "
        "'petal-length', 'petal-width']] must be present",
    }


def test_a_model_that_cannot_be_loaded_is_an_error_of_the_worker(life: Deployment) -> None:
    model = life.root / "app/assets/iris_svc.pkl"
    model.rename(model.with_suffix(".away"))
    life.denzel("restart")
    status = life.await_status(lambda text: "Worker: worker@iris_classifier - ERROR" in text)
    assert "iris_svc.pkl" in status
    assert "FileNotFoundError" in life.denzel("logs", "--service", "denzel")
    assert "FileNotFoundError" in life.denzel("logworker")
    model.with_suffix(".away").rename(model)
    life.denzel("restart")
    life.await_ready()


def test_logs_are_followed_until_interrupted(life: Deployment) -> None:
    with running(
        life.command("logs", "--service", "api", "--live", "--tail", "1"), life.root
    ) as following:
        assert following.stdout is not None
        first = following.stdout.readline()
        os.kill(life.main_process("gunicorn"), signal.SIGTTIN)  # gunicorn: one process more
        second = following.stdout.readline()
        following.send_signal(signal.SIGINT)
        code = following.wait(SOON)
    assert first.startswith("api ")
    assert "ttin" in second
    assert code == 0
    services = [line.split()[0] for line in life.denzel("logs", "--tail", "2").splitlines()]
    assert [services.count(name) for name in ("denzel", "api", "redis")] == [2, 2, 2]


def test_logs_that_were_removed_are_made_again(life: Deployment) -> None:
    shutil.rmtree(life.root / "logs")
    assert "removed while the service ran" in life.denzel("logs", "--service", "api")
    os.kill(life.main_process("gunicorn"), signal.SIGTTOU)  # gunicorn: one process less
    for _ in polls(0.2, timeout=SOON):
        if "ttou" in (logs := life.denzel("logs", "--service", "api")):
            break
    assert "ttou" in logs
    assert "removed" not in logs


def test_a_service_that_crashes_comes_back(life: Deployment) -> None:
    for words in ("app.runtime.worker", "gunicorn"):
        crashed = life.main_process(words)
        os.kill(crashed, signal.SIGKILL)
        life.await_status(lambda text: text != up_lines(life))
        assert life.await_ready() == up_lines(life)
        assert crashed not in life.processes()


def test_new_requirements_are_installed(life: Deployment) -> None:
    life.edit("requirements.txt", f"{REQUIREMENTS}toolz\n")
    before = life.processes()
    life.denzel("updatepipreqs")
    assert not set(before) & set(life.processes())
    assert life.await_ready() == up_lines(life)
    assert "toolz" in life.denzel("shell", stdin="python -c 'import toolz; print(toolz)'\n")


@pytest.mark.parametrize(
    ("requirement", "opponent"),
    [("celery==5.4.0", "celery[redis]"), ("packaging<25", "depends on packaging==")],
)
def test_conflicting_requirements_are_refused(
    life: Deployment, requirement: str, opponent: str
) -> None:
    life.edit("requirements.txt", f"{REQUIREMENTS}{requirement}\n")
    before = life.processes()
    message = life.refused("updatepipreqs").splitlines()[-1]
    assert requirement in message
    assert opponent in message
    assert life.processes() == before


def test_requirements_that_fail_at_start_are_an_error(life: Deployment) -> None:
    life.edit("requirements.txt", "no-such-package-of-denzel==1\n")
    assert "the services go on as they are" in life.refused("restart")
    assert life.denzel("status") == up_lines(life)
    life.denzel("stop")
    life.denzel("start")
    status = life.await_status(lambda text: text.count("ERROR") >= 1)
    assert "logs/requirements.log" in status
    assert "no-such-package-of-denzel" in status
    life.edit("requirements.txt", REQUIREMENTS)
    life.denzel("restart")
    life.await_ready()


def test_requirements_sh_is_not_run_on_this_machine(life: Deployment) -> None:
    assert "requirements.sh is never run" in life.refused("updateosreqs")


def test_stop_and_start_keep_mode_and_results(life: Deployment, receiver: Receiver) -> None:
    life.denzel("stop")
    assert life.processes() == []
    assert life.denzel("status") == lines("DOWN")
    assert "denzel start" in life.refused("response", "--sync")
    life.denzel("start")
    assert life.await_ready() == up_lines(life)
    assert life.outcome(life.task_id) == ("SUCCESS", SPECIES)
    assert "task_id" in life.predict(request(receiver)).json()["data"]


def test_responses_become_synchronous(life: Deployment, receiver: Receiver) -> None:
    life.denzel("response", "--sync", "--timeout", "5.0")
    assert life.predict(request(receiver)).json() == SPECIES
    printed = life.denzel("predict", "-", stdin=json.dumps(request(receiver)))
    assert json.loads(printed) == SPECIES


def test_a_reload_under_load_fails_no_request(life: Deployment, receiver: Receiver) -> None:
    life.edit("app/logic/pipeline.py", marked(2))
    with SteadyLoad(life.api_port, request(receiver), 32) as load:
        assert "Version" in life.denzel("reload")
        new = {**SPECIES, "version": 2}
        assert any(new in load.seen() for _ in polls(0.1, timeout=SOON))
    assert load.failures == []
    assert {answer.status for answer in load.answers} == {200}
    assert load.seen() == [SPECIES, new]
    assert life.denzel("status") == up_lines(life)


def test_a_reload_that_fails_changes_nothing(life: Deployment, receiver: Receiver) -> None:
    before = life.processes()
    life.edit("app/logic/pipeline.py", f"{marked(3)}\nDEFAULT = undefined\n")
    done = life.run("reload")
    assert done.returncode == 1
    assert "DEFAULT = undefined" in done.stdout
    assert "name 'undefined' is not defined" in done.stdout
    life.edit("app/logic/pipeline.py", f"{marked(3)}\nimport no_such_module\n")
    assert life.run("reload").returncode == 1
    assert life.processes() == before
    # What is edited does not reach a process that is started anew, either.
    os.kill(life.main_process("app.runtime.worker"), signal.SIGKILL)
    life.await_status(lambda text: text != up_lines(life))
    life.await_ready()
    assert life.predict(request(receiver)).json() == {**SPECIES, "version": 2}


def test_a_rollback_goes_to_what_worked_before(life: Deployment, receiver: Receiver) -> None:
    life.denzel("rollback")
    assert life.predict(request(receiver)).json() == SPECIES
    life.denzel("stop")
    life.denzel("start", "--wait")
    assert life.predict(request(receiver)).json() == SPECIES
    assert [line[0] for line in life.denzel("versions").splitlines()[:-1]].count("*") == 1
    life.edit("app/logic/pipeline.py", PIPELINE)


def test_shutdown_leaves_nothing_but_the_users_files(life: Deployment) -> None:
    files = life.user_files()
    mark = Layout.of(Project(life.root)).mark
    life.denzel("shutdown", "--purge")
    assert find_processes(mark) == []
    assert not (life.root / ".denzel").exists()
    assert life.user_files() == files
    assert "denzel launch" in life.denzel("status")


def test_the_project_is_launched_from_scratch(life: Deployment, receiver: Receiver) -> None:
    ports = ["--api-port", str(life.api_port), "--monitor-port", str(life.monitor_port)]
    life.denzel("launch", "--local", "--wait", *ports)
    assert life.predict(request(receiver)).json() == SPECIES


def test_services_whose_directory_was_deleted_are_ended(life: Deployment) -> None:
    """As ``git clean -fdx`` does."""
    mark = Layout.of(Project(life.root)).mark
    shutil.rmtree(life.root / ".denzel")
    assert "already launched" in life.refused("launch", "--local")
    assert find_processes(mark)
    life.denzel("shutdown")
    assert find_processes(mark) == []
