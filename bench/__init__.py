"""What a case costs, measured against a bare Temporal workflow in the same run: `make bench`."""
