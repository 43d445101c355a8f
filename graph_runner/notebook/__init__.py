"""Graphs as functions, for programs and notebooks."""
