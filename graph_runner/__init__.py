"""The engine of Latent Loom: typed nodes, a workflow format, a compiler and an executor.

It would run a graph of arithmetic: nothing here knows diffusion. Node packages import `graph_runner.contract` and
`graph_runner.context`; nothing is imported here, so that `python -m graph_runner --help` answers at once.
"""
