"""OCI: digests, descriptors, layout folders, archives and registries. Knows no machine learning."""
