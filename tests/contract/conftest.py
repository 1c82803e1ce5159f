"""Real places for the contract suite are those of the end-to-end tests."""

from e2e.conftest import base_folder, cache, docker_engine, versions

__all__ = ["base_folder", "cache", "docker_engine", "versions"]
