"""The other side of each ratio: a flow as a plain Temporal workflow, one file of under 80 lines each."""
