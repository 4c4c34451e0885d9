"""The tests. What they stand on is in `desk.py` (a shop, a worker and a client on the one server of the run),
`server.py`, `orders.py` and `parcels.py`; `conftest.py` makes it.

`rules`, `laws` and the `test_*_table.py` ask pure code; `shop` a database, SQLite and PostgreSQL. On the real server:
`workflows` (what a flow does, by itself and beside others), `walking` (every row is made and everything else refused),
`races`, `cli`, `batch`, `changing` (flows that change under open cases), `chaos` (what fails, hangs, is killed);
`histories` are recorded runs that must replay, `fuzz` sends whatever there is.
"""
