"""Docker and Podman as a target: servers behind a relay, on one machine."""
