"""How fast the agent trains, how much it needs, and how it compares: `make bench` runs `python -m benchmarks`.

Measurements, each a module with `measure(form)` that yields rows, each run in a process of its own:

    training      decisions/s on the ladders, time to 99 % on the hardest level
    environment   decisions/s of problem, calculator and verifier alone
    arithmetic    floating point operations a second, as a share of what the machine can do
    footprint     memory of training, time of `import mna`
    peers         decisions/s beside sb3-contrib's MaskablePPO and RecurrentPPO; peer_env lets them in
    parts         where the time of training goes; before: where it went in an old revision
    race          time to 99 % beside them
    growth        decisions/s and memory against problems at once, length, slots, width and threads

Around them: rows (what a measurement yields), process (runs one), report (the table and the record), compare
(this tree and another revision). `agents` belongs to `make evidence`: how well the peers do from our budget.
"""
