"""What the package costs: `make bench` runs `python -m benchmarks`.

Measurements, each a module with `measure(form)` that yields rows, each run in a process of its own:

    footprint     memory and time of `import mna`, of training and of `solve`
    learning      a run of the seed profile: seconds, parts, share of the arithmetic bound
    growth        the environment alone; problems at once, numbers of a problem

Around them: rows (what a measurement yields), process (runs one), report (the table and the record), compare
(this tree and another revision). Apart from these stand public (`make public` asks an agent the problems that others
published), evidence (`make evidence` makes the runs behind chapter 7), close_up (all small structures; doubts), and
labels (`python -m benchmarks.labels` makes the runs behind appendix E; labels_game is their game).
"""
