"""What every test run needs, the chapters' cells included."""

import os

os.environ["TQDM_DISABLE"] = "1"  # saved chapters have no progress bars, so fresh ones may not either


def pytest_collection_modifyitems(items):
    """nbdev-clean removes execution counts, and nbval takes a cell without one for a cell that never ran."""
    for item in items:
        if hasattr(item, "cell"):
            item.cell.execution_count = 0
