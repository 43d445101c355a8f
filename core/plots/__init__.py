"""Plots of tables: what is to be drawn, where each mark of it lies, and the drawing of it by matplotlib."""
