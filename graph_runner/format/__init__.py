"""The workflow file: reading, writing, and the pictures that carry one."""
