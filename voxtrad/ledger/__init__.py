"""What must not be forgotten: the outbox of promised events and the records of calls, in one SQLite file."""
