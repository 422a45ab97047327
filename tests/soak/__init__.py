"""The soak: very many waiting jobs for half an hour, an outage of the remote in the middle, and a stop of all workers:
`make soak`.
"""
