"""The journal: every event is on the disk before anything is done."""
