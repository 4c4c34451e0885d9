"""The embedded shop: what a case reads and changes. One transaction at a time, on SQLite or PostgreSQL.

The functions take a `Session` first, so that several make one transaction; `database.py` opens them. A buyer's name,
phone, address, account and words stand here and nowhere else.
"""
