"""The images of a project: which are its own, how they come to be here, which a purge removes.

A project's own is the image it built under the name ``IMAGE``; labels say so.  It builds over no
other project's, and a purge takes away no other name.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import docker
from docker.errors import APIError, ImageNotFound

from denzel.backends.base import Passing, Report
from denzel.backends.docker.build import run_build
from denzel.backends.docker.compose import Compose
from denzel.backends.docker.engine import engine_errors, find_image
from denzel.backends.docker.release import ReleaseImages
from denzel.errors import UsageError
from denzel.services import BALANCER, REDIS

PROJECT_LABEL = "com.docker.compose.project"
INPUTS_LABEL = "denzel.inputs"
NAME_LABEL = "denzel.image"


class Images:
    """The images of one project."""

    def __init__(self, client: docker.DockerClient, compose: Compose, report: Report) -> None:
        self._client = client
        self._compose = compose
        self._settings = compose.project.settings
        self._report = report

    def provide(self, containers: Iterable[Any], *, redis: bool = True) -> bool:
        """Build and pull the images that are not here; tell whether one was built.

        A name that was taken from an image which ``containers`` still run on is given back to it.
        """
        by_name = {found.attrs["Config"]["Image"]: found for found in containers}
        if redis:
            self._pull(by_name)
        if self._compose.image is not None:
            self._fetch(self._compose.image, by_name)
            return False
        built = self._find(self._settings.image, by_name)
        if built and built.labels.get(INPUTS_LABEL) == self._compose.build_inputs():
            return False
        if built and built.labels.get(PROJECT_LABEL) != self._compose.name:
            self._refuse_to_replace(built)
        self._build()
        return True

    def _pull(self, containers: dict[str, Any]) -> None:
        """Pull the images that others make, unless they are here."""
        settings = self._settings
        images = {} if settings.redis_url else {REDIS: settings.redis_image}
        if settings.https_domain:
            images["https"] = settings.caddy_image
        if settings.api_replicas > 1:
            images[BALANCER] = settings.caddy_image
        if settings.with_metrics:
            images |= {"prometheus": settings.prometheus_image, "grafana": settings.grafana_image}
        for service, name in images.items():
            if not self._find(name, containers):
                self._report(f"Pulling {service} ({name})...")
                argv = self._compose.commands.pull(service)
                try:
                    self._compose.relay(argv, self._show_passing, image=name)
                finally:
                    self._report(Passing(""))

    def _fetch(self, name: str, containers: dict[str, Any]) -> None:
        """Have the image for release here that the services run."""
        if not self._find(name, containers):
            ReleaseImages(self._compose.project, self._report).fetch(name, newest=False)

    def remove_built(self) -> None:
        """Remove the names that this project built images under, and builds without a name.

        An image that has another name, too, stays under that; images that came from elsewhere,
        Redis's among them, may be others' as well.
        """
        with engine_errors():
            label = f"{PROJECT_LABEL}={self._compose.name}"
            for image in self._client.images.list(all=False, filters={"label": label}):
                own = image.labels.get(NAME_LABEL) or self._settings.image
                if not image.tags:
                    self._remove(str(image.id))
                elif own in image.tags:
                    self._remove(own)

    def _find(self, name: str, containers: dict[str, Any]) -> Any | None:
        """Return the image called ``name``, if need be by giving it the name again."""
        image = find_image(self._client, name)
        if image is None and name in containers and "@" not in name:
            with engine_errors(), suppress(ImageNotFound):
                image = self._client.images.get(containers[name].attrs["Image"])
                image.tag(name)
                self._report(f"The image of the services had lost its name {name}: it has it again")
        return image

    def _refuse_to_replace(self, image: Any) -> None:
        name, owner = self._settings.image, image.labels.get(PROJECT_LABEL)
        whose = f"was built by the project {owner}" if owner else "was not built by this project"
        raise UsageError(
            f"The image {name} {whose} and would be replaced; set IMAGE in .env to another name, "
            f"such as {self._compose.name}:1.0.0, or remove it (`docker image rm {name}`)"
        )

    def _build(self) -> None:
        argv, project = self._compose.commands.build(), self._compose.project
        run_build(argv, self._settings.image, project, self._report, self._compose.place(argv))

    def _show_passing(self, line: str) -> None:
        self._report(Passing(line.strip()))

    def _remove(self, name: str) -> None:
        try:
            self._client.images.remove(name)
        except APIError as error:  # another project's containers use it
            self._report(f"The image {name} stays: {error.explanation}")
        else:
            self._report(f"Removing image {name}")
