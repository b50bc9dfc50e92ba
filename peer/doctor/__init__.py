"""`peer doctor`: what this host and its network can do for calls, found out by trying.

`examination` runs the probes (`servers`, `stunprobe`, `natprobe`, `calls`); what they found (`findings`) is judged by
`nat` and `diagnosis` and shown by `shown`, which are pure.
"""
