"""Services as processes of this machine, supervised by ``supervisor``.

- ``backend``: the interface; ``lifecycle``: start and stop everything;
- ``layout``, ``environment``, ``deployment_record``: where things are, what services
  are told, what is noted;
- ``supervision``, ``process_table``: supervisord, and processes that it does not know (any more);
- ``redis_server``, ``append_only_file``: Redis, and its file after a power failure;
- ``status``, ``health``, ``preflight``: how services are; whether this machine can run them;
- ``development``: ``denzel dev``; ``https``: Caddy.
"""
