"""The shop's rules as pure code, one function a rule, each with its source."""
