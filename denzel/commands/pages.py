"""The pages of a deployment, in the user's browser."""

from __future__ import annotations

import click

from denzel import browser, console, operations
from denzel.commands.invocation import current_project

API, MONITOR = "api", "monitor"


@click.command()
@click.argument("page", type=click.Choice([API, MONITOR]), default=API)
def open(page: str) -> None:
    """Open the API's or the monitor's page in a browser.

    By default the API's; the monitor's is Flower. The address is printed; where there is no screen,
    that is all.
    """
    deployment = operations.find_deployment(current_project())
    if page == MONITOR:
        url = f"{deployment.monitor_url}/"
    else:
        url = operations.front_page(deployment.api_url)
    console.echo(url)
    browser.open_page(url)
