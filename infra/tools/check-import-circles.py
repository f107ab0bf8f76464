#!/usr/bin/env python3
"""Fails if files of a crate import each other in a circle: check-import-circles.py FOLDER…

A folder is that of a crate, with its sources in src, or that of a test program, with a main.rs.

Reads `use` declarations and the paths in the code, outside of unit tests. An item that is imported through a
re-export counts as an import of the file that defines it. A file that only declares modules and re-exports their
items imports nothing. Re-exports of everything in a module (`::*`) are not followed.
"""

import re
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

USE = re.compile(r"^\s*(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);", re.MULTILINE)
PATH = re.compile(r"(?<![\w:])(\w+(?:::\w+)+)")
# A line comment, or what may contain one: literals with quotes, in one pass because each may contain the other.
NOISE = re.compile(r"""//[^\n]*|'\\?"'|r#+".*?"#+|"(?:\\.|[^"\\])*\"""", re.DOTALL)
MOD = re.compile(r"(?:pub(?:\([^)]*\))?\s+)?mod\s+\w+;")
ATTRIBUTE = re.compile(r"#!?\[[^\]]*\]")


def without_noise(text):
    """Removes unit tests, comments and strings."""
    text = re.sub(r"#\[cfg\(test\)\]\s*mod \w+ \{.*\Z", "", text, flags=re.DOTALL)
    return NOISE.sub(lambda found: "" if found[0].startswith("//") else '""', text)


def paths(tree, prefix=""):
    """Yields the paths in the tree of a `use` declaration."""
    head, brace, rest = tree.strip().partition("{")
    if not brace:
        yield re.sub(r"\s", "", (prefix + head).split(" as ")[0])
        return
    depth, branch = 0, ""
    for letter in rest[: rest.rindex("}")] + ",":
        depth += (letter == "{") - (letter == "}")
        if letter == "," and depth == 0:
            if branch.strip():
                yield from paths(branch, prefix + head)
            branch = ""
        else:
            branch += letter


class Crate:
    """The modules of a crate, each a tuple of names, and what they import."""

    def __init__(self, folder):
        source = Path(folder, "src")
        source = source if source.is_dir() else Path(folder)
        root = "lib" if (source / "lib.rs").is_file() else "main"
        self.text = {}
        for file in source.rglob("*.rs"):
            module = file.relative_to(source).with_suffix("").parts
            self.text[() if module == (root,) else module] = without_noise(file.read_text())
        if () not in self.text:
            sys.exit(f"{folder}: no lib.rs and no main.rs")
        self.imports = {module: [] for module in self.text}
        self.exports = {module: {} for module in self.text}
        for module, text in self.text.items():
            for public, tree in USE.findall(text):
                for path in filter(None, (self.absolute(module, path) for path in paths(tree))):
                    self.imports[module].append(path)
                    if public:
                        self.exports[module][path[-1]] = path
            found = (self.absolute(module, path) for path in PATH.findall(USE.sub("", text)))
            self.imports[module] += filter(None, found)

    def absolute(self, module, path):
        first, *rest = path.split("::")
        if first == "crate":
            return tuple(rest)
        if first == "self":
            return (*module, *rest)
        if first == "super":
            while first == "super":
                module, first, *rest = module[:-1], *rest
            return (*module, first, *rest)
        return (*module, first, *rest) if (*module, first) in self.text else None

    def file_of(self, path):
        """Returns the module that defines an item, followed through re-exports."""
        for length in range(len(path), -1, -1):
            module, item = path[:length], path[length:]
            if module in self.text:
                if item and item[0] in self.exports[module]:
                    return self.file_of(self.exports[module][item[0]] + item[1:])
                return module
        return None

    def is_facade(self, module):
        return not ATTRIBUTE.sub("", MOD.sub("", USE.sub("", self.text[module]))).strip()

    def check(self):
        graph = {}
        for module, imports in self.imports.items():
            if not self.is_facade(module):
                graph[module] = {self.file_of(path) for path in imports} - {module, None}
        TopologicalSorter(graph).prepare()


failed = False
for crate in sys.argv[1:]:
    try:
        Crate(crate).check()
    except CycleError as error:
        names = ["::".join(("crate", *module)) for module in error.args[1]]
        print(f"{crate}: {' <- '.join(names)}", file=sys.stderr)
        failed = True
sys.exit(failed)
