"""One of each kind of thing that a package may bring: a wire, a condition part, a model, a process, an optimizer, zones, a listener."""
