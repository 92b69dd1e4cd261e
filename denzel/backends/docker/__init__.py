"""Services as containers: Compose changes things, the Docker SDK is asked.

- ``backend``: the interface; what each command of denzel's does with containers;
- ``compose``, ``commands``, ``environment``, ``program``: which Compose, with which
  arguments and environment;
- ``build``: run what builds an image;
- ``release``, ``release_commands``, ``references``: the image with everything in it, and names of
  images;
- ``images``: which are the project's own, how they come to be here, which a purge removes;
- ``progress``: what a person is told of Compose's work;
- ``errors``: what the failures of Compose and the engine mean, and what to do;
- ``engine``, ``status``: what the engine knows.
"""
