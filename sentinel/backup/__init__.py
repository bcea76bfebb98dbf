"""Data -> Snapshot -> data: restic repositories, sources, schedules, retention, restores, drills."""
