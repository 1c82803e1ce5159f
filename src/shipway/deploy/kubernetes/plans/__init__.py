"""What a change would do to a cluster, and doing it: history, ownership, difference, steps."""
