"""What is done in each state: one class a flow, and the case loop that all of them share."""
