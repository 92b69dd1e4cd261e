"""The verbs: one function a command.  They print nothing and ask nothing."""

from denzel.operations.deployment import front_page, silent
from denzel.operations.exporting import TARGETS as EXPORT_TARGETS
from denzel.operations.exporting import Exported, write_export
from denzel.operations.lifecycle import (
    Deployment,
    available_ports,
    find_deployment,
    launch,
    restart,
    shutdown,
    start,
    stop,
    update,
)
from denzel.operations.observation import (
    figures,
    logs,
    shell,
    status,
    statuses,
    wait_until_ready,
    worker_log,
)
from denzel.operations.predictions import (
    RequestBody,
    check,
    drop_callbacks,
    example,
    predict,
    read_request,
    result,
    retry_callbacks,
    set_response,
    stream,
    submit,
    task,
    undelivered_callbacks,
)
from denzel.operations.release import Release, build
from denzel.operations.replacement import Replacement, reload, rollback, versions
from denzel.operations.scaling import replicas, scale, scaled
from denzel.operations.trial import CHECK_TIMEOUT_SECONDS
from denzel.operations.upgrading import upgrade

__all__ = [
    "CHECK_TIMEOUT_SECONDS",
    "EXPORT_TARGETS",
    "Deployment",
    "Exported",
    "Release",
    "Replacement",
    "RequestBody",
    "available_ports",
    "build",
    "check",
    "drop_callbacks",
    "example",
    "figures",
    "find_deployment",
    "front_page",
    "launch",
    "logs",
    "predict",
    "read_request",
    "reload",
    "replicas",
    "restart",
    "result",
    "retry_callbacks",
    "rollback",
    "scale",
    "scaled",
    "set_response",
    "shell",
    "shutdown",
    "silent",
    "start",
    "status",
    "statuses",
    "stop",
    "stream",
    "submit",
    "task",
    "undelivered_callbacks",
    "update",
    "upgrade",
    "versions",
    "wait_until_ready",
    "worker_log",
    "write_export",
]
