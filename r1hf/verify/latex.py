"""Expression trees out of tokens, within fixed bounds. Nothing is evaluated here."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from r1hf.verify.tokens import DECORATIONS, FUNCTIONS, GREEK, MAX_DEPTH, Token
from r1hf.verify.tokens import UNIT_CLOSE as UNIT_CLOSE
from r1hf.verify.tokens import UNIT_OPEN as UNIT_OPEN
from r1hf.verify.tree import Node, Unreadable, make

MAX_OPERATIONS = 150  # in one expression; a tree is no deeper

_FACTOR_STARTS = frozenset("\\frac \\sqrt \\binom \\pi \\infty".split()) | DECORATIONS


class Expression(NamedTuple):
    """A tree, and whether the text spelled out arithmetic (a binary sign or a product)."""

    node: Node
    arithmetic: bool


def parse_expression(tokens: list[Token]) -> Expression:
    """The tree of all `tokens`. Raises Unreadable, or Undefined for a division by zero."""
    reader = _Reader(tokens)
    node = reader.sum()
    if reader.at != len(tokens):
        raise Unreadable(f"{reader.peek()!r} is not understood here")
    return Expression(node, reader.arithmetic)


class _Reader:
    def __init__(self, tokens: list[Token]):
        self.tokens = [*tokens, ("end", "")]
        self.at = self.depth = self.bars = self.angles = self.operations = 0
        self.arithmetic = False

    def peek(self) -> str:
        return self.tokens[self.at][1]

    def take(self, wanted: str | None = None) -> str:
        kind, sign = self.tokens[self.at]
        if kind == "end" or (wanted is not None and sign != wanted):
            raise Unreadable(f"{sign!r} instead of {wanted!r}")
        self.at += 1
        return sign

    def count(self) -> None:
        self.operations += 1
        if self.operations > MAX_OPERATIONS:
            raise Unreadable("too many operations")

    def sum(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unreadable("too deep")
        node = self.signed()
        while (sign := self.peek()) in ("+", "-", "\\pm", "\\mp"):
            self.count()
            self.at += 1
            self.arithmetic = True
            right = self.product(self.negated())
            node = make(sign, node, right) if sign in "+-" else ("pm", node, right, 1 if sign == "\\pm" else -1)
        self.depth -= 1
        return node

    def signed(self) -> Node:
        sign = self.peek()
        if sign in ("\\pm", "\\mp"):
            self.at += 1
            return ("pm", ("num", Fraction(0)), self.product(self.factor()), 1 if sign == "\\pm" else -1)
        if sign == "+":
            self.at += 1
            return self.product(self.factor())
        return self.product(self.negated())

    def negated(self) -> Node:
        if self.peek() != "-":
            return self.factor()
        self.at += 1
        return make("neg", self.factor())

    def product(self, node: Node) -> Node:
        while True:
            sign = self.peek()
            self.count()
            if sign in ("*", "/"):
                self.at += 1
                self.arithmetic = self.arithmetic or not self.in_fraction(sign)
                node = make(sign, node, self.negated())
            elif self.starts_factor():
                self.arithmetic = True
                node = make("*", node, self.factor())
            else:
                return node

    def in_fraction(self, sign: str) -> bool:
        """Whether the sign just taken is the bar of a plain fraction such as 1/3."""
        kinds = [token[0] for token in self.tokens[max(0, self.at - 2) : self.at + 1]]
        earlier = self.tokens[self.at - 3][1] if self.at > 2 else ""
        return sign == "/" and kinds == ["num", "op", "num"] and earlier not in ("*", "/", "^")

    def starts_factor(self) -> bool:
        kind, sign = self.tokens[self.at]
        if sign == "|":
            return not self.bars
        return kind == "let" or sign in ("(", "[", "{") or sign in _FACTOR_STARTS or sign[1:] in FUNCTIONS | GREEK

    def factor(self) -> Node:
        node = self.primary()
        while (sign := self.peek()) in ("^", "!", "°"):
            self.count()
            self.at += 1
            if sign == "!":
                node = make("!", node)
            elif sign == "°":
                node = self.in_degrees(node)
            elif self.peek() == "\\circ":
                self.at += 1
                node = self.in_degrees(node)
            elif [kind_sign[1] for kind_sign in self.tokens[self.at : self.at + 3]] == ["{", "\\circ", "}"]:
                self.at += 3
                node = self.in_degrees(node)
            else:
                node = make("^", node, self.exponent())
        return node

    def in_degrees(self, node: Node) -> Node:
        """Degrees matter inside a function; elsewhere they are a unit."""
        if not self.angles:
            return node
        return make("*", node, make("/", ("const", "pi"), ("num", Fraction(180))))

    def exponent(self) -> Node:
        if self.peek() == "{":
            return self.group()
        if self.peek() == "-":
            self.at += 1
            return make("neg", self.primary())
        return self.primary()

    def group(self) -> Node:
        opener = self.take()
        node = self.sum()
        self.take({"(": ")", "[": "]", "{": "}"}[opener])
        return node

    def primary(self) -> Node:
        kind, sign = self.tokens[self.at]
        if kind == "num":
            self.at += 1
            return self.mixed(Fraction(sign)) if self.peek() == "\\frac" and sign.isdigit() else _number(sign)
        if kind == "let":
            self.at += 1
            return self.symbol(sign)
        if sign in ("(", "[", "{"):
            return self.group()
        if sign == "|":
            return self.absolute()
        if kind != "cmd":
            raise Unreadable(f"{sign!r} is not understood")
        self.at += 1
        if sign == "\\frac":
            return make("/", self.argument(), self.argument())
        if sign == "\\binom":
            return make("binom", self.argument(), self.argument())
        if sign == "\\sqrt":
            return self.root()
        if sign in DECORATIONS:
            return self.decorated(sign)
        if sign in ("\\pi", "\\infty"):
            return ("const", "pi" if sign == "\\pi" else "inf")
        if sign[1:] in FUNCTIONS:
            return self.function(sign[1:])
        if sign[1:] in GREEK:
            return self.symbol(sign)
        raise Unreadable(f"{sign} is not understood")

    def decorated(self, sign: str) -> Node:
        r"""\vec{a}, \overrightarrow{AB}: a name of its own."""
        letters = self.subscript()
        if not 1 <= len(letters) <= 3 or not letters.isalpha():
            raise Unreadable(f"{sign} of a formula")
        return self.symbol(sign + letters)

    def symbol(self, name: str) -> Node:
        if name in ("e", "i") and self.peek() not in ("_", "'"):
            return ("const", name)
        if self.peek() == "_":
            self.at += 1
            name += "_" + self.subscript()
        while self.peek() == "'":
            name += self.take()
        return ("sym", name)

    def subscript(self) -> str:
        if self.peek() != "{":
            return self.take()
        self.at += 1
        signs = []
        while self.peek() != "}":
            signs.append(self.take())
        self.at += 1
        return "".join(signs)

    def absolute(self) -> Node:
        self.take("|")
        self.bars += 1
        node = self.sum()
        self.take("|")
        self.bars -= 1
        return make("fn", "abs", node)

    def argument(self) -> Node:
        """What follows a command: a group, or a single digit, letter or command."""
        kind, sign = self.tokens[self.at]
        if sign == "{":
            return self.group()
        if kind == "num" and sign.isdigit() and len(sign) > 1:
            self.tokens[self.at] = (kind, sign[1:])
            return _number(sign[0])
        if sign in ("(", "[", "-", "+"):
            raise Unreadable("an argument without braces")
        return self.primary()

    def mixed(self, whole: Fraction) -> Node:
        """3\\frac{1}{2} is 7/2, while 3\\frac{x}{2} is a product."""
        start = self.at
        self.at += 1
        node = make("/", self.argument(), self.argument())
        if node[0] == "num" and node[1] > 0:
            return ("num", whole + node[1])
        self.at = start
        return ("num", whole)

    def root(self) -> Node:
        degree = 2
        if self.peek() == "[":
            node = self.group()
            if node[0] != "num" or node[1].denominator != 1 or not 2 <= node[1] <= 1000:
                raise Unreadable("the degree of a root")
            degree = int(node[1])
        if self.tokens[self.at][0] == "num":
            return make("root", degree, _number(self.take()))
        return make("root", degree, self.group() if self.peek() == "(" else self.argument())

    def function(self, name: str) -> Node:
        base, power = None, None
        if self.peek() == "_" and name == "log":
            self.at += 1
            base = self.argument()
        if self.peek() == "^":
            self.at += 1
            power = self.exponent()
        if power == ("num", Fraction(-1)) and name in ("sin", "cos", "tan"):
            name, power = "arc" + name, None
        self.angles += 1
        argument = self.group() if self.peek() in ("(", "{", "[") else self.bare_argument()
        self.angles -= 1
        if name == "lg":
            name, base = "log", ("num", Fraction(10))
        if base is not None:
            node = make("/", make("fn", "ln", argument), make("fn", "ln", base))
        else:
            node = make("fn", name, argument)
        return node if power is None else make("^", node, power)

    def bare_argument(self) -> Node:
        """\\sin 2x: factors up to the next function, bracket or sign."""
        node = self.negated()
        while self.starts_factor() and self.peek() not in ("(", "[", "|") and self.peek()[1:] not in FUNCTIONS:
            node = make("*", node, self.factor())
        return node


def _number(text: str) -> Node:
    if len(text) > 4000:
        raise Unreadable("too many digits")
    return ("num", Fraction(text))
