"""Many cases from one file: its rows read, checked against the shop, opened with bounded concurrency, remembered."""
