"""From a bare Python to a running service.

``python3 -m app.runtime.bootstrap SERVICE PROGRAM ARGUMENT...`` is what each entrypoint runs, with
the machine's bare Python, so the standard library alone is used here.  Reading order:

- ``main``: the steps, the command line;
- ``environment``: the virtual environment all services share, and what is installed in it;
  ``requirement_files``, ``pins``, ``pip_output`` and ``wheel_tags`` know pip's files and words;
- ``os_commands``: requirements.sh;
- ``privileges``: from root to the user who serves;
- ``commands``, ``stamps``, ``paths``: what those share.
"""
