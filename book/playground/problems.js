// Problems, fractions and the calculator: mna/environments.py (Tool, tokenize, Parser, Grammar, parse) in JavaScript.
// The names and the messages are the same; tests/test_playground.py compares both.
"use strict";
(function (mna) {
  class MNAError extends Error {}

  // Exact fractions {n, d}: BigInts in lowest terms, d > 0.
  const abs = n => (n < 0n ? -n : n);
  const gcd = (a, b) => { while (b) [a, b] = [b, a % b]; return abs(a); };
  function fraction(n, d = 1n) {
    const divisor = gcd(n, d) * (d < 0n ? -1n : 1n);
    return { n: n / divisor, d: d / divisor };
  }
  const equal = (x, y) => x.n === y.n && x.d === y.d;
  const show = x => (x.d === 1n ? `${x.n}` : `${x.n}/${x.d}`);
  const sign = x => (x.n > 0n) - (x.n < 0n);

  // Each returns [numerator, denominator]; a denominator of 0 is a failed call.
  const TOOLS = [
    { name: "ADD", arity: 2, symbol: "+", apply: (x, y) => [x.n * y.d + y.n * x.d, x.d * y.d] },
    { name: "SUB", arity: 2, symbol: "-", apply: (x, y) => [x.n * y.d - y.n * x.d, x.d * y.d] },
    { name: "MUL", arity: 2, symbol: "*", apply: (x, y) => [x.n * y.n, x.d * y.d] },
    { name: "DIV", arity: 2, symbol: "/", apply: (x, y) => [x.n * y.d, x.d * y.n] },
    { name: "NEG", arity: 1, symbol: "", apply: x => [-x.n, x.d] },
  ];
  const LIMIT = 2 ** 60;

  /** The exact result of a call, or null where the calculator fails. */
  function calculate(tool, x, y) {
    const other = tool.arity === 2 ? y : fraction(1n);
    const size = [x, other].map(({ n, d }) => Number(abs(n) > d ? abs(n) : d));
    const [n, d] = tool.apply(x, other);
    return d !== 0n && size[0] * size[1] < LIMIT ? fraction(n, d) : null;
  }

  const KINDS = ["PAD", "number", "+", "-", "*", "/", "(", ")", "|", "=", "x"];
  const MAX_TOKENS = 64, MAX_NUMBERS = 16, MAX_NUMBER = 10n ** 12n;
  const isNumber = token => typeof token === "bigint";

  /** A token or a text as Python shows it. */
  function repr(token) {
    if (isNumber(token)) return `${token}`;
    const quote = token.includes("'") && !token.includes('"') ? '"' : "'";
    return quote + token.replaceAll("\\", "\\\\").replaceAll(quote, "\\" + quote).replaceAll("\t", "\\t") + quote;
  }
  function quoted(text) {
    const letters = [...text];
    return repr(letters.length <= 60 ? text : letters.slice(0, 60).join("") + "…");
  }
  function checkSize(text, tokens, numbers) {
    if (tokens > MAX_TOKENS || numbers > MAX_NUMBERS) {
      throw new MNAError(`${quoted(text)} is too long; at most ${MAX_TOKENS} tokens and ${MAX_NUMBERS} numbers are ` +
        "read: split the problem");
    }
  }

  function tokenize(text) {
    const tokens = [];
    for (const [token] of text.matchAll(/[0-9]+|[^ ]/gu)) {
      if (token === "x" && isNumber(tokens.at(-1))) tokens.push("*");
      if (token[0] >= "0" && token[0] <= "9") {
        const digits = token.replace(/^0+/, "") || "0";
        if (digits.length > `${MAX_NUMBER}`.length || BigInt(digits) > MAX_NUMBER) {
          throw new MNAError(`${quoted(text)} holds a number over ${MAX_NUMBER}, the largest one that is read: ` +
            "use smaller numbers");
        }
        tokens.push(BigInt(digits));
      } else if ("+-*/()|=x".includes(token)) {
        tokens.push(token);
      } else {
        throw new MNAError(`${quoted(text)} holds the unknown character ${repr(token)}; ` +
          "a problem is written with 0-9, + - * / ( ) | = x and spaces");
      }
      checkSize(text, tokens.length, tokens.filter(isNumber).length);
    }
    return tokens;
  }

  /** What may follow what; each method returns the tree of what it read. A leaf is the index of a number, or "x". */
  class Grammar {
    constructor(text) {
      this.text = text;
      this.todo = tokenize(text).reverse();
      this.kinds = [];
      this.numbers = [];
    }

    error(rule) { return new MNAError(`${quoted(this.text)}: ${rule}, for example (7*3+4)-(5*8) or 3*x+4=19`); }
    peek() { return this.todo.at(-1); }
    found() { return this.todo.length ? repr(this.peek()) : "the end"; }

    take(expected) {
      if (!this.todo.length || (expected && this.peek() !== expected)) {
        throw this.error(`expected ${repr(expected)} but found ${this.found()}; write a balanced expression`);
      }
      this.kinds.push(KINDS.indexOf(this.peek()));
      return this.todo.pop();
    }

    number(value) {
      this.kinds.push(KINDS.indexOf("number"));
      return this.numbers.push(value) - 1;
    }

    chain(operators, part) {
      let tree = part();
      while (operators.includes(this.peek())) tree = [this.take(), tree, part()];
      return tree;
    }

    sum() { return this.chain(["+", "-"], () => this.product()); }
    product() { return this.chain(["*", "/"], () => this.factor()); }

    factor() {
      const token = this.peek();
      if (isNumber(token)) return this.number(this.todo.pop());
      if (token === "x") return this.take();
      if (token === "(" || token === "|") {
        this.take();
        const inner = this.sum();
        this.take(token === "(" ? ")" : "|");
        return token === "(" ? inner : ["|", inner];
      }
      if (token === "-") {
        this.todo.pop();
        return this.minus();
      }
      throw this.error(`expected a number but found ${this.found()}`);
    }

    minus() {
      if (isNumber(this.peek())) return this.number(-this.todo.pop());
      const divides = this.kinds.at(-1) === KINDS.indexOf("/");
      if (divides) this.kinds.push(KINDS.indexOf("("));
      const minusOne = this.number(-1n);
      this.kinds.push(KINDS.indexOf("*"));
      const tree = ["*", minusOne, this.factor()];
      if (divides) this.kinds.push(KINDS.indexOf(")"));
      return tree;
    }
  }

  const plus = (x, y) => fraction(...TOOLS[0].apply(x, y)), minus = (x, y) => fraction(...TOOLS[1].apply(x, y));
  const times = (x, y) => fraction(...TOOLS[2].apply(x, y)), over = (x, y) => fraction(...TOOLS[3].apply(x, y));
  const ZERO = fraction(0n);

  /** [slope, constant] of a tree, as slope * x + constant. */
  function linear(tree, parser) {
    if (typeof tree === "number") return [ZERO, fraction(parser.numbers[tree])];
    if (tree === "x") return [fraction(1n), ZERO];
    if (tree[0] === "|") {
      const [slope, constant] = linear(tree[1], parser);
      if (slope.n) throw parser.error("x inside |...| is not linear; write a linear equation");
      return [slope, { n: abs(constant.n), d: constant.d }];
    }
    const [[a, b], [c, d]] = [linear(tree[1], parser), linear(tree[2], parser)];
    if (tree[0] === "+") return [plus(a, c), plus(b, d)];
    if (tree[0] === "-") return [minus(a, c), minus(b, d)];
    if (tree[0] === "*" && !(a.n && c.n)) return [plus(times(a, d), times(b, c)), times(b, d)];
    if (tree[0] === "*") throw parser.error("x times x is not linear; write a linear equation");
    if (c.n) throw parser.error("a division by x is not linear; write a linear equation");
    if (!d.n) throw parser.error("this divides by zero; change the divisor");
    return [over(a, d), over(b, d)];
  }

  function solve(tree, parser, equation) {
    const hasX = parser.kinds.includes(KINDS.indexOf("x"));
    if (!equation) {
      if (hasX) throw parser.error("x stands in an expression; write an equation with =");
      return linear(tree, parser)[1];
    }
    if (!hasX) throw parser.error("the equation has no x; write x where the unknown stands");
    const [[a, b], [c, d]] = [linear(tree[1], parser), linear(tree[2], parser)];
    if (equal(a, c)) {
      const count = equal(b, d) ? "endless solutions" : "no solution";
      throw parser.error(`the equation has ${count}; write one with exactly one solution`);
    }
    return over(minus(d, b), minus(a, c));
  }

  /** {text, kinds, numbers, answer} of an expression or a linear equation in x; throws MNAError for anything else. */
  function parse(text) {
    const parser = new Grammar(text);
    if (!parser.todo.length) throw parser.error("the problem is empty; write an expression or an equation");
    let tree = parser.sum();
    const equation = parser.peek() === "=";
    if (equation) tree = [parser.take(), tree, parser.sum()];
    if (parser.todo.length) {
      throw parser.error(`did not expect ${parser.found()} here; write one expression or one equation, ` +
        "balanced, with * in every product but 3x");
    }
    checkSize(text, parser.kinds.length, parser.numbers.length);
    const answer = solve(tree, parser, equation);
    if (!parser.numbers.length) throw parser.error("there is no number to calculate with; write one");
    if (abs(answer.n) >= 2n ** 63n || answer.d >= 2n ** 63n) {
      throw new MNAError(`${quoted(text)} has an answer beyond 64 bits, which the calculator cannot hold: ` +
        "use smaller numbers");
    }
    return { text, kinds: parser.kinds, numbers: parser.numbers.map(n => fraction(n)), answer };
  }

  Object.assign(mna, { MNAError, fraction, equal, show, sign, TOOLS, calculate, KINDS, parse });
})(globalThis.mna ??= {});
