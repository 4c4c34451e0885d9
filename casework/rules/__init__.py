"""The shop's rules: pure functions, one a rule, each with the source that it comes from."""
