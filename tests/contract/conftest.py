"""Real places for the contract suite are those of the end-to-end tests."""

from e2e.conftest import base_folder, cache, docker_engine, versions
from e2e.kubernetes.conftest import access, images, models, namespace

__all__ = ["access", "base_folder", "cache", "docker_engine", "images", "models", "namespace", "versions"]
