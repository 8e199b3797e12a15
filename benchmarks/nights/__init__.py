"""Ten thousand bad nights in ten minutes: searches over a simulated machine and store, with seeded schedules of faults.

The search itself is the real one: its journal, supervisor, delivery, folders and registration. What it stands on is
simulated: clock and threads (``world``), disk, the store's server, and the process that runs the trials. A schedule
(``faults``) names the steps at which something goes wrong. When the night is over, ``checker`` compares the store
with that of a search without faults.
"""
