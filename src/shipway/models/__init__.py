"""Adapters, one file a framework: they find, open, describe and compile artefacts."""
