"""What is done in each state: one class per flow, and the case loop that all of them share."""
