"""Everything on one machine: the embedded server, the processes, `longhaul up` and the demo."""
