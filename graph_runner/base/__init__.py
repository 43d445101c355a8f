"""What everything stands on: files written atomically, their contents and hashes, names, events, problems."""
