"""From a bare Python to a running service.

``app.runtime.bootstrap SERVICE PROGRAM ARGUMENT...`` is the module that each entrypoint runs, with
the machine's bare Python, so the standard library alone is used here.  Reading order:

- ``main``: the steps, the command line;
- ``environment``: the virtual environment all services share, and what is installed in it;
  ``requirement_files``, ``pins``, ``pip_output`` and ``wheel_tags`` know pip's files and words;
- ``os_commands``: requirements.sh;
- ``hidden_modules``: files of the user's that bear the name of another module;
- ``privileges``: from root to the user who serves;
- ``commands``, ``stamps``, ``paths``: what those share.
"""
