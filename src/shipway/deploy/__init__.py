"""Release -> objects of a target. Rendering is pure: the same release gives the same bytes."""
