"""What the package costs a process: seconds of `import mna` and `solve`, memory; each in fresh processes.

This module must not load torch: the peak memory of a process counts in what it was started from.
"""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator

from benchmarks.process import ROOT, BenchmarkError, python
from benchmarks.rows import Form, Row

MB = (1 if sys.platform == "darwin" else 1024) / 1e6  # of a unit of ru_maxrss
PEAK = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
RUN = """import torch
torch.set_num_threads(1)
from mna.speed import FAST
from mna.training import Run, from_profile
run = Run(from_profile("seed"), FAST)
for _ in range(8):
    run.iterate()"""
MANY = """import time
from mna.curriculum import generate
from mna.problems import check_levels
import torch, mna
texts = [p.text for p in generate(torch.zeros(1000, dtype=torch.long), check_levels(["mixed10"]), torch.Generator())]
start = time.process_time()
mna.solve(texts)
print(time.process_time() - start)"""
SECONDS = "import time; start = time.process_time(); import {module}; print(time.process_time() - start)"


def said(*words: str) -> subprocess.CompletedProcess:
    """What a fresh Python says. Raises BenchmarkError with its last line if it fails."""
    done = subprocess.run(python(*words), text=True, capture_output=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise BenchmarkError(f"a fresh Python failed on {' '.join(words)[:200]!r} ({reason}): correct that first")
    return done


def peak(code: str) -> float:
    """Peak memory of a fresh process that runs the code, in MB."""
    return int(said("-c", f"{code}\n{PEAK}").stdout) * MB


def import_seconds(module: str) -> float:
    """Processor seconds to import a module where torch is there already."""
    return float(said("-c", f"import torch\n{SECONDS.format(module=module)}").stdout)


def slowest_imports(module: str, n: int = 3) -> str:
    """The packages that take most of a module's import time over torch's, with their seconds."""
    lines = said("-X", "importtime", "-c", f"import torch; import {module}").stderr.splitlines()
    parts = [line.removeprefix("import time:").split("|") for line in lines if line.startswith("import time:")]
    behind_torch = 1 + max(i for i, part in enumerate(parts) if part[2] == " torch")
    seconds = Counter()
    for alone, _, name in parts[behind_torch:]:
        seconds[name.strip().split(".")[0]] += int(alone) / 1e6
    return ", ".join(f"{package} {spent:.2f}" for package, spent in seconds.most_common(n))


def wall(*words: str) -> float:
    """Seconds that a fresh Python takes, by the wall clock."""
    start = time.perf_counter()
    said(*words)
    return time.perf_counter() - start


def solving(repeats: int) -> Iterator[Row]:
    """The shipped agent from the shell, torch's import told apart, and many problems in one call."""
    shell = [wall("-m", "mna", "solve", "(3+4)*2") for _ in range(repeats)]
    torch = [wall("-c", "import torch") for _ in range(repeats)]
    yield Row("solve from the shell", "s by the wall", shell, at_most=2 + min(torch), note="the bar: 2 s over torch")
    yield Row("import torch", "s by the wall", torch)
    yield Row("solve, 1,000 problems of mixed10 in one call", "s", [float(said("-c", MANY).stdout)], at_most=3)


def measure(form: Form) -> Iterator[Row]:
    repeats = 1 if form.short else 3
    idle = peak("import torch")
    yield Row("memory of import mna over import torch", "MB",
              [peak("import torch, mna") - idle for _ in range(repeats)], at_most=10)
    seconds = [import_seconds("mna") for _ in range(2 * repeats + 1)]
    yield Row("import mna over import torch", "s", seconds, at_most=0.3, note=f"most of it in {slowest_imports('mna')}")
    used = [peak(RUN) - idle for _ in range(repeats)]
    yield Row("memory of training over import torch", "MB", used, at_most=200, note="eight iterations")
    if (ROOT / "mna/checkpoints/full/agent.safetensors").exists():
        yield from solving(repeats)
