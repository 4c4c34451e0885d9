"""The rules of the shop as pure functions, one a rule, each with its source."""
