"""Whole syncs on bad days: a process, whose APIs and whose reader misbehave at random."""
