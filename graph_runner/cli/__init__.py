"""The command line: reads arguments, runs the engine, and tells a person what happens."""
