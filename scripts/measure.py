"""Measure the form of the book: each chapter, each exercise, each module of the package.

    python scripts/measure.py        (make measure)

Words are those of the prose, lines those of the code that are not blank; the set-up cell
counts nowhere. In modules the lines `# %%`, which nbdev writes above each cell, do not
count either; their totals are of chapters 1 to 6, and of all but the exercises' checks.
Reading takes a minute for 200 words or 15 lines; what is folded away and the exercises do
not count in it. tests/test_form.py keeps what must never slip.
"""

import ast
import builtins
import json
import math
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median

import yaml

ROOT = Path(__file__).parent.parent
COLUMNS, CELL = 88, 25  # the widest line and the longest cell of code
WORDS, LINES = 700, 120  # of chapter 0, before something learns
FOLDED = {"setup", "hide-input", "hide-cell", "remove-input", "remove-cell"}
PARTS = ("exercise", "starter", "solution")  # the tags of an exercise's three cells
CORE = ("environments", "network", "memory", "ppo", "curriculum", "training")  # 1 to 6
FAMILIES = {"Enum", "IntEnum", "Flag", "IntFlag", "StrEnum", "Function"}  # may be deeper


def tags(cell):
    return set(cell["metadata"].get("tags", []))


def text(cell):
    return "".join(cell["source"])


def words_in(markdown):
    """The number of words of the prose: no code, no formulas on lines of their own."""
    for pattern in (r"(?s)```.*?```", r"(?s)\$\$.*?\$\$", r"(?s)<!--.*?-->"):
        markdown = re.sub(pattern, " ", markdown)
    markdown = re.sub(r"\[!\[Open in Colab\].*", " ", markdown)
    markdown = re.sub(r"\]\([^)]*\)", "]", markdown)  # where a link leads
    return sum(any(map(str.isalnum, word)) for word in markdown.split())


def lines_in(code):
    """The number of lines that are neither blank nor nbdev's mark of a cell."""
    lines = map(str.strip, code.splitlines())
    return sum(bool(line) and not line.startswith("# %%") for line in lines)


def percentile(values, share):
    """The least value that at least this share of the values does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else 0


@dataclass
class Chapter:
    """One notebook, and what can be counted in it."""

    path: Path

    @cached_property
    def cells(self):
        cells = json.loads(self.path.read_text())["cells"]
        return [cell for cell in cells if "setup" not in tags(cell)]

    @property
    def prose(self):
        return [cell for cell in self.cells if cell["cell_type"] == "markdown"]

    @property
    def code(self):
        return [cell for cell in self.cells if cell["cell_type"] == "code"]

    @property
    def number(self):
        """What its figures, formulas and exercises are numbered by: "4", or "A"."""
        number = self.path.stem.partition("_")[0]
        return str(int(number)) if number.isdigit() else number.upper()

    @property
    def title(self):
        return text(self.cells[0]).partition("\n")[0]

    def size(self, cells):
        """(words, lines) of some cells."""
        words = sum(words_in(text(c)) for c in cells if c["cell_type"] == "markdown")
        lines = sum(lines_in(text(c)) for c in cells if c["cell_type"] == "code")
        return words, lines

    @property
    def before_learning(self):
        """(words, lines) down to the cell tagged first-learning; None without one."""
        marked = [i for i, c in enumerate(self.cells) if "first-learning" in tags(c)]
        return self.size(self.cells[: marked[0] + 1]) if marked else None

    @property
    def lengths(self):
        """The lines of each cell of code, blank ones counted."""
        return [len(text(cell).splitlines()) for cell in self.code]

    @property
    def wide(self):
        """Every line of code that is too wide, as (cell id, line)."""
        lines = [(cell["id"], line) for cell in self.code
                 for line in text(cell).splitlines()]
        return [(cell, line) for cell, line in lines if len(line) > COLUMNS]

    @property
    def pictures(self):
        """(cell, alt text) of every picture that a cell draws or the prose shows."""
        shown = re.compile(r"(?<!\[)!\[([^\]]*)\]\(")
        found = [(c["id"], alt) for c in self.prose for alt in shown.findall(text(c))]
        for cell in self.code:
            alt = cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "")
            for output in cell["outputs"]:
                if {"image/png", "image/svg+xml"} & output.get("data", {}).keys():
                    found.append((cell["id"], alt))
        return found

    @property
    def stated(self):
        """The minutes of reading that the opening states, as "20 minutes to read"."""
        opening = re.split(r"(?m)^## ", "\n".join(map(text, self.prose)))[0]
        found = re.search(r"(\d+)\s+minutes\s+to\s+read", opening)
        return int(found[1]) if found else None

    @property
    def minutes(self):
        """The minutes that reading takes."""
        read = [c for c in self.cells if not tags(c) & (FOLDED | {"exercise", "starter"})]
        words, lines = self.size(read)
        return words / 200 + lines / 15

    @property
    def exercises(self):
        """{id: {"exercise": cells, "starter": cells, "solution": cells}}, in order."""
        found = {}
        for cell in self.cells:
            for part in tags(cell) & set(PARTS):
                name = cell["metadata"].get("exercise", {}).get("id", "without an id")
                found.setdefault(name, {part: [] for part in PARTS})[part].append(cell)
        return found


def printed(cell):
    """What a cell has printed, as saved with it."""
    said = [out["text"] for out in cell["outputs"] if out["output_type"] == "stream"]
    return "".join(map("".join, said))


def in_order(root=ROOT):
    """The chapters, as the table of contents has them."""
    contents = yaml.safe_load((root / "_toc.yml").read_text())
    files = [page["file"] for part in contents["parts"] for page in part["chapters"]]
    return [Chapter(root / f"{file}.ipynb") for file in files
            if file.startswith("notebooks/")]


def modules(root=ROOT):
    """The modules of the package, but for nbdev's index of names."""
    return sorted(set((root / "mna").glob("*.py")) - {root / "mna/_modidx.py"})


def bases_in(code):
    """{class: names of what it is made from} in some code; magics are left out."""
    code = re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", code)
    found = {}
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ClassDef):
            names = [base.value if isinstance(base, ast.Subscript) else base
                     for base in node.bases]
            found[node.name] = [ast.unparse(name).rpartition(".")[2] for name in names]
    return found


def is_family(name, bases, seen=()):
    """Is it an exception or an enumeration? Those may be as deep as they like."""
    kind = getattr(builtins, name, None)
    if name in FAMILIES or (isinstance(kind, type) and issubclass(kind, BaseException)):
        return True
    return any(is_family(base, bases, (*seen, name)) for base in bases.get(name, [])
               if base not in seen)


def depth(name, bases, seen=()):
    """How many classes of ours stand in its chain, itself included: 1 is flat."""
    ours = [base for base in bases[name] if base in bases and base not in (*seen, name)]
    return 1 + max((depth(base, bases, (*seen, name)) for base in ours), default=0)


def depths(code, package):
    """{class: depth} of the classes in some code; package: the bases of all others."""
    own = bases_in(code)
    bases = package | own
    return {name: depth(name, bases) for name in own if not is_family(name, bases)}


def package_bases(root=ROOT):
    return {name: made_from for path in modules(root)
            for name, made_from in bases_in(path.read_text()).items()}


CHAPTER = ("chapter", "words", "lines", "before learning", "cell", "p90", "wide",
           "figures", "a 1,000 words", "stated", "to read", "exercises")
EXERCISE = ("exercise", "minutes", "marks", "starter", "check", "solution")
MODULE = ("module", "lines", "classes", "depth")


def chapter_row(chapter):
    words, lines = chapter.size(chapter.cells)
    before, figures = chapter.before_learning, len(chapter.pictures)
    return (chapter.path.stem, f"{words:,}", f"{lines:,}",
            f"{before[0]:,} words, {before[1]} lines" if before else "–",
            f"{median(chapter.lengths or [0]):g}", percentile(chapter.lengths, 0.9),
            len(chapter.wide), figures, f"{1000 * figures / max(words, 1):.1f}",
            chapter.stated or "–", f"{chapter.minutes:.0f}", len(chapter.exercises))


def exercise_row(name, parts, checks):
    told = {}
    for cell in parts["exercise"]:
        told |= cell["metadata"].get("exercise", {})
    there = [bool(parts["starter"]), name in checks, bool(parts["solution"])]
    return (name, told.get("minutes", "–"), told.get("marks", "–"),
            *("yes" if part else "no" for part in there))


def module_row(path, package):
    code = path.read_text()
    deep = max(depths(code, package).values(), default=0)
    return path.stem, f"{lines_in(code):,}", len(bases_in(code)), deep or "–"


def totals(root=ROOT):
    """Lines of what chapters 1 to 6 export, and of all modules without the checks."""
    lines = {path.stem: lines_in(path.read_text()) for path in modules(root)}
    return (sum(lines.get(name, 0) for name in CORE),
            sum(n for name, n in lines.items() if name != "checks"))


def table(head, rows):
    """Lines with their columns below each other, numbers to the right."""
    cells = [tuple(map(str, row)) for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join([row[0].ljust(widths[0]),
                                *map(str.rjust, row[1:], widths[1:])]) for row in cells)


def main():
    from mna.checks import CHECKS

    chapters, package = in_order(), package_bases()
    exercises = [(name, parts, CHECKS) for chapter in chapters
                 for name, parts in chapter.exercises.items()]
    print(table(CHAPTER, map(chapter_row, chapters)), end="\n\n")
    print(table(EXERCISE, (exercise_row(*row) for row in exercises)), end="\n\n")
    print(table(MODULE, (module_row(path, package) for path in modules())))
    core, every = totals()
    print(f"{core:,} lines in chapters 1 to 6, {every:,} in all without checks")


if __name__ == "__main__":
    main()
