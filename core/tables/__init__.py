"""Tables: named columns of plain values; what is computed of them, and their files."""
