"""The mutants of a source file: Cosmic Ray's operators, less what cannot tell anything about the tests.

A mutant is one change at one place. What is left out is left out by a rule; each rule's name is its reason.
"""

import ast
import difflib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import cosmic_ray.plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.work_item import MutationSpec, WorkItem

ANNOTATION: Final = "annotations: nothing reads them when the code runs"
DECORATOR: Final = "arguments of decorators: declarations, not arithmetic"
COMPILER: Final = "decorators of the compiler: without it they return the function as it is"
BITS: Final = "bit operators in place of arithmetic: on a float they raise, which any test notices"
IDENTITY: Final = "`is` in place of a comparison: no kernel compiles with it"
SIGN: Final = "unary plus: the same as taking the minus away"
SYNTAX: Final = "`not` in the middle of an expression: no Python"
NEGATION: Final = "`not` before a single comparison: the same as turning the comparison round"

ARITHMETIC: Final = ("Add", "Sub", "Mul", "Div", "FloorDiv", "Mod", "Pow")
BITWISE: Final = ("RShift", "LShift", "BitOr", "BitAnd", "BitXor", "Invert")
COMPARED: Final = 3  # left side, operator, right side


def operators() -> Iterator[tuple[str, Any]]:
    """Return all operators that need no arguments, with their names."""
    for name in cosmic_ray.plugins.operator_names():
        kind = cosmic_ray.plugins.get_operator(name)
        if not kind.arguments() and name != "core/NoOp":
            yield name, kind()


def is_annotation(node: Any) -> bool:
    """Return whether a node of the syntax tree lies in an annotation."""
    child, parent = node, node.parent
    while parent is not None:
        if parent.type in ("annassign", "tfpdef") and child is not parent.children[0] and "=" not in _before(child):
            return True
        if parent.type == "funcdef" and "->" in _before(child) and ":" not in _before(child):
            return True
        child, parent = parent, parent.parent
    return False


def _before(node: Any) -> list[str]:
    siblings = node.parent.children
    return [sibling.value for sibling in siblings[: siblings.index(node)] if hasattr(sibling, "value")]


def decorator_of(node: Any) -> Any:
    """Return the decorator that a node is or lies in, or None."""
    return node if node.type == "decorator" else node.search_ancestor("decorator")


def rule_against(name: str, node: Any, line: str, compilers: Sequence[str], lines: Mapping[str, str]) -> str | None:
    """Return the rule that leaves out a mutant, or None.

    Args:
        name: Of the operator.
        node: Of the syntax tree, the one that is changed.
        line: Of the source, where the node begins.
        compilers: Decorators that only compile.
        lines: Patterns of lines that are left out, and why.
    """
    kind, *change = name.removeprefix("core/").split("_")
    decorator = decorator_of(node)
    if decorator is not None:
        if kind != "RemoveDecorator":
            return DECORATOR
        return COMPILER if decorator.get_code(include_prefix=False).strip().lstrip("@") in compilers else None
    rules = {
        ANNOTATION: is_annotation(node),
        BITS: change[0] in (*ARITHMETIC, "USub") and change[-1] in BITWISE if change else False,
        IDENTITY: kind == "ReplaceComparisonOperator" and change[-1] in ("Is", "IsNot"),
        SIGN: change == ["USub", "UAdd"],
        NEGATION: kind == "AddNot" and is_comparison(node.children[2 if node.type == "test" else 1]),
        **{reason: re.search(pattern, line) is not None for pattern, reason in lines.items()},
    }
    return next((rule for rule, applies in rules.items() if applies), None)


def is_comparison(node: Any) -> bool:
    """Return whether a node is one comparison of two sides."""
    return bool(node.type == "comparison" and len(node.children) == COMPARED)


def parses(text: str) -> bool:
    """Return whether a text is Python."""
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def find(
    path: str, text: str, compilers: Sequence[str], lines: Mapping[str, str]
) -> tuple[list[WorkItem], Counter[str]]:
    """Return the mutants of a source text, and how many each rule has left out."""
    nodes = list(ast_nodes(get_ast(text)))
    source = text.splitlines()
    found: list[WorkItem] = []
    left_out: Counter[str] = Counter()
    for name, operator in operators():
        places = ((node, place) for node in nodes for place in operator.mutation_positions(node))
        for occurrence, (node, (start, end)) in enumerate(places):
            rule = rule_against(name, node, source[start[0] - 1], compilers, lines)
            spec = MutationSpec(
                module_path=Path(path), operator_name=name, occurrence=occurrence, start_pos=start, end_pos=end
            )
            if rule is None and name.endswith("_Not") and not parses(mutated(text, spec)):
                rule = SYNTAX
            if rule is not None:
                left_out[rule] += 1
                continue
            found.append(WorkItem.single(f"{path} {name} {occurrence}", spec))
    return found, left_out


def mutated(text: str, spec: MutationSpec) -> str:
    """Return the source text with a mutant in it."""
    operator = cosmic_ray.plugins.get_operator(spec.operator_name)()
    code = mutate_code(text, operator, spec.occurrence)
    if code is None:
        raise ValueError(f"{spec.module_path} has no place number {spec.occurrence} for {spec.operator_name}")
    return str(code)


def difference(before: str, after: str) -> str:
    """Return the changed lines, those before with a minus and those after with a plus."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return "\n".join(line for line in lines if not line.startswith(("---", "+++", "@@")))
