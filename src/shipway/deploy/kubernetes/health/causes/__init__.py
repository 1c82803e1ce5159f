"""What can keep a release from becoming ready, one finder each.

A finder is a pure function: it looks at one pod, or at the whole snapshot, and gives the cause that it knows, or None.
Messages are those of Kubernetes 1.36 and containerd 2.1, as recorded in `tests/deploy/kubernetes/answers/causes/`;
where CRI-O, Docker or older versions say the same in other words, their words stand beside them.
"""
