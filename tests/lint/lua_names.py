"""Which declaration each name of a Lua script means, by Lua's rules of scope."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import tree_sitter_lua
from tree_sitter import Language, Node, Parser

_PARSER = Parser(Language(tree_sitter_lua.language()))


@dataclass(eq=False, slots=True)
class Declaration:
    """A local name: `kind` is local, loop, parameter or function; `value` is what it is bound to, in a loop what the
    loop goes over.

    `function`: the function of the file's top level that it is declared in, None outside all of them. `uses`: where it
    is read, and in which.
    """

    name: str
    kind: str
    node: Node
    function: Declaration | None
    value: Node | None = None
    uses: list[tuple[Node, Declaration | None]] = field(default_factory=list)


def text(node: Node | None) -> str:
    """The source of a node."""
    return (node.text or b"").decode() if node is not None else ""


class Names:
    """The names of one script, from its whole text: `declarations`, `undeclared` names, `calls` (each with the function
    that it stands in), `faults` (what is no Lua).
    """

    def __init__(self, source: str) -> None:
        self.tree = _PARSER.parse(source.encode())
        self.declarations: list[Declaration] = []
        self.undeclared: list[Node] = []
        self.assigned: list[Node] = []
        self.calls: list[tuple[Node, Declaration | None]] = []
        self.minuses: list[Node] = []
        self.faults: list[Node] = []
        self._meant: dict[int, Declaration] = {}
        self._scopes: list[dict[str, Declaration]] = [{}]
        self._function: Declaration | None = None
        self._statements(self.tree.root_node.named_children)

    def meant(self, node: Node | None) -> Declaration | None:
        """The declaration that an identifier means; None for a global and for what is no identifier."""
        return self._meant.get(node.id) if node is not None else None

    def reached(self) -> set[Declaration | None]:
        """The functions that the script runs, and None for its own top level."""
        reached: set[Declaration | None] = {None}
        while True:
            more = {
                one
                for one in self.declarations
                if one not in reached and any(function in reached for _, function in one.uses)
            }
            if not more:
                return reached
            reached |= more

    def _statements(self, nodes: Sequence[Node]) -> None:
        for node in nodes:
            self._visit(node)

    def _visit(self, node: Node | None) -> None:
        if node is None:
            return
        if node.type == "ERROR" or node.is_missing:
            self.faults.append(node)
        visit = getattr(self, f"_visit_{node.type}", None)
        if visit is not None:
            visit(node)
        else:
            self._statements(node.named_children)

    def _visit_block(self, node: Node) -> None:
        self._scopes.append({})
        self._statements(node.named_children)
        self._scopes.pop()

    def _visit_repeat_statement(self, node: Node) -> None:
        # The condition sees the locals of the body.
        self._scopes.append({})
        body = node.child_by_field_name("body")
        self._statements(body.named_children if body else [])
        self._visit(node.child_by_field_name("condition"))
        self._scopes.pop()

    def _visit_variable_declaration(self, node: Node) -> None:
        (inner,) = node.named_children
        if inner.type == "variable_list":
            names, values = inner.named_children, []
        else:
            variables, expressions = inner.named_children
            names, values = variables.named_children, expressions.named_children
            self._visit(expressions)
        for at, name in enumerate(names):
            self._declare(name, "local", values[at] if at < len(values) else None)

    def _visit_assignment_statement(self, node: Node) -> None:
        variables, expressions = node.named_children
        self._visit(expressions)
        for variable in variables.named_children:
            if variable.type != "identifier":
                self._visit(variable)
            elif (found := self._find(text(variable))) is not None:
                self._meant[variable.id] = found
            else:
                self.assigned.append(variable)

    def _visit_function_declaration(self, node: Node) -> None:
        name = node.child_by_field_name("name")
        declared = None
        if node.children[0].type == "local":
            declared = self._declare(name, "function", node)
        elif name is None or name.type != "identifier" or self._find(text(name)) is None:
            self.assigned.append(name or node)
        outer = self._function
        # A function in a function is part of it.
        self._function = outer or declared
        self._visit_function_definition(node)
        self._function = outer

    def _visit_function_definition(self, node: Node) -> None:
        self._scopes.append({})
        parameters = node.child_by_field_name("parameters")
        for name in parameters.named_children if parameters else []:
            if name.type == "identifier":
                self._declare(name, "parameter", None)
        self._visit(node.child_by_field_name("body"))
        self._scopes.pop()

    def _visit_for_statement(self, node: Node) -> None:
        clause, body = node.child_by_field_name("clause"), node.child_by_field_name("body")
        self._scopes.append({})
        if clause is not None and clause.type == "for_generic_clause":
            variables, expressions = clause.named_children
            self._visit(expressions)
            for name in variables.named_children:
                self._declare(name, "loop", expressions.named_children[0])
        elif clause is not None:
            name, *bounds = clause.named_children
            self._statements(bounds)
            self._declare(name, "loop", None)
        self._visit(body)
        self._scopes.pop()

    def _visit_function_call(self, node: Node) -> None:
        self.calls.append((node, self._function))
        self._statements(node.named_children)

    def _visit_dot_index_expression(self, node: Node) -> None:
        self._visit(node.child_by_field_name("table"))

    def _visit_method_index_expression(self, node: Node) -> None:
        self._visit(node.child_by_field_name("table"))

    def _visit_field(self, node: Node) -> None:
        name = node.child_by_field_name("name")
        if name is not None and node.children[0].type == "[":
            self._visit(name)
        self._visit(node.child_by_field_name("value"))

    def _visit_unary_expression(self, node: Node) -> None:
        if node.children[0].type == "-":
            self.minuses.append(node)
        self._visit(node.child_by_field_name("operand"))

    def _visit_identifier(self, node: Node) -> None:
        found = self._find(text(node))
        if found is None:
            self.undeclared.append(node)
            return
        self._meant[node.id] = found
        found.uses.append((node, self._function))

    def _find(self, name: str) -> Declaration | None:
        return next((scope[name] for scope in reversed(self._scopes) if name in scope), None)

    def _declare(self, node: Node | None, kind: str, value: Node | None) -> Declaration:
        assert node is not None, "a declaration has a name"
        declaration = Declaration(text(node), kind, node, self._function, value)
        self.declarations.append(declaration)
        self._scopes[-1][declaration.name] = declaration
        return declaration
