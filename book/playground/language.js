// How problems are written and read, and what values are: mna/language.py in JavaScript, with the same names and the
// same messages. tests/test_playground.py compares the two, text by text: what changes there changes here.
"use strict";
(function (mna) {
  const [PAD, NUMBER, X, PLUS, MINUS, TIMES, DIVIDE, NEGATIVE, OPEN, CLOSE, BAR, BAR_END, EQUALS] = Array(13).keys();
  const SYMBOLS = ["", "n", "x", "+", "-", "*", "/", "-", "(", ")", "|", "|", "="];
  const MAX_TOKENS = 256, MAX_NUMBERS = 64, MAX_CHARACTERS = 10000, MAX_DIGITS = 4000;

  // ---- errors

  /** Bad input. The message names the value, the rule and the way out, in one line. */
  class MNAError extends Error {}
  /** A calculation whose result is no Value; the message is a short reason. */
  class Undefined extends Error {}

  function refuse(text, why) { throw new MNAError(`${text.trim() ? quoted(text) : "the text"}: ${why}`); }

  /** A text as Python's repr shows it. */
  function repr(text) {
    const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
    const short = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", [quote]: `\\${quote}` };
    const hex = (n, size) => n.toString(16).padStart(size, "0");
    const one = character => {
      const n = character.codePointAt(0);
      if (short[character]) return short[character];
      if (character === " " || !/[\p{C}\p{Z}]/u.test(character)) return character;
      return n < 256 ? `\\x${hex(n, 2)}` : n < 65536 ? `\\u${hex(n, 4)}` : `\\U${hex(n, 8)}`;
    };
    return quote + Array.from(text, one).join("") + quote;
  }

  /** A text as a message quotes it: in one line, in at most so many characters. */
  function quoted(text, most = 60) {
    const shown = Array.from(repr(Array.from(text).slice(0, most + 1).join("")));
    return shown.length <= most ? shown.join("") : `${shown.slice(0, most - 4).join("")}...${shown[0]}`;
  }

  // ---- values

  const abs = n => (n < 0n ? -n : n);
  function gcd(...numbers) {
    return numbers.reduce((a, b) => {
      for (a = abs(a), b = abs(b); b; ) [a, b] = [b, a % b];
      return a;
    });
  }

  /** (p*x + q) / (r*x + s), four BigInts in lowest terms: r > 0, or r = 0 and s > 0. */
  class Value {
    constructor(p, q, r = 0n, s = 1n) { Object.assign(this, { p, q, r, s }); }
    add(other) { return combined(this, "+", other); }
    sub(other) { return combined(this, "-", other); }
    mul(other) { return combined(this, "*", other); }
    div(other) { return combined(this, "/", other); }
    neg() { return new Value(-this.p, -this.q, this.r, this.s); }
    equals({ p, q, r, s }) { return this.p === p && this.q === q && this.r === r && this.s === s; }
    toString() { return valueText(this); }
    get hasUnknown() { return this.p !== 0n || this.r !== 0n; }
    /** -1, 0 or 1, of a number. */
    get sign() { return this.q > 0n ? 1 : this.q < 0n ? -1 : 0; }
    /** The number at which the value is zero. */
    root() {
      if (this.p) return lowest(0n, -this.q, 0n, this.p);
      throw new Undefined(this.q ? `no solution: ${brief(this)} = 0 never holds` : "endless solutions: 0 = 0 always holds");
    }
  }

  function lowest(p, q, r, s) {
    if (r && p * s === q * r) [p, q, r, s] = [0n, p, 0n, r]; // the upper form is p/r times the lower one
    let factor = gcd(p, q, r, s);
    if (r < 0n || (r === 0n && s < 0n)) factor = -factor;
    return new Value(p / factor, q / factor, r / factor, s / factor);
  }

  function valueText({ p, q, r, s }) {
    let above = formText(p, q);
    const below = formText(r, s);
    if (below === "1") return above;
    if (above.includes(" ")) above = `(${above})`;
    return below.includes("x") && below !== "x" ? `${above}/(${below})` : `${above}/${below}`;
  }

  function formText(p, q) {
    if (p === 0n) return `${q}`;
    const first = p === 1n ? "x" : p === -1n ? "-x" : `${p}*x`;
    return q ? `${first} ${q < 0n ? "-" : "+"} ${abs(q)}` : first;
  }

  /** A value's text, with the middle left out where it is long. */
  function brief(value, most = 28) {
    const text = `${value}`, half = Math.floor(most / 2) - 2;
    return text.length <= most ? text : `${text.slice(0, half)}...${text.slice(-half)}`;
  }

  const product = (p, q, r, s) => [p * r, p * s + q * r, q * s];

  /** (u*x*x + v*x + w) over the product of forms [r, s]; null if it is no Value. */
  function ratio([u, v, w], ...below) {
    let scale = 1n;
    const left = [];
    for (const [r, s] of below) {
      if (r === 0n) scale *= s;
      else if (u * s * s - v * s * r + w * r * r) left.push([r, s]);
      else [u, v, w, scale] = [0n, r * u, r * v - s * u, scale * r * r];
    }
    if (u || left.length > 1) return null;
    const [r, s] = left[0] ?? [0n, 1n];
    return lowest(v, w, scale * r, scale * s);
  }

  /** a + b, a - b, a * b or a / b. */
  function combined(a, sign, b) {
    let above, below = [b.r, b.s];
    if (sign === "+" || sign === "-") {
      const left = product(a.p, a.q, b.r, b.s), right = product(b.p, b.q, a.r, a.s);
      above = left.map((m, i) => (sign === "+" ? m + right[i] : m - right[i]));
    } else if (sign === "*") {
      above = product(a.p, a.q, b.p, b.q);
    } else if (b.p === 0n && b.q === 0n) {
      throw new Undefined(`division by zero: ${brief(a)} / 0`);
    } else {
      [above, below] = [product(a.p, a.q, b.r, b.s), [b.p, b.q]];
    }
    const result = ratio(above, [a.r, a.s], below);
    if (result === null) throw new Undefined(`(${brief(a)}) ${sign} (${brief(b)}) is no linear form, nor a ratio of two`);
    return result;
  }

  const UNKNOWN = new Value(1n, 0n);

  // ---- from what is typed to plain notation

  const D = "\\d", DIGITS = `(?:${D}+(?:\\.${D}*)?|\\.${D}+)`;
  const SAME = {
    "−": "-", "–": "-", "×": "*", "·": "*", "⋅": "*", "÷": "/", ":": "/", "²": "^2 ", "³": "^3 ",
    "（": "(", "）": ")", "＋": "+", "＝": "=" };
  const END = "(?![\\p{L}\\p{N}_])"; // of a word
  const SENTENCE = new RegExp(`^(?:(?:solve for ([a-z])${END}[:,]?|find ([a-z])[:,]|`
    + `(?:solve|evaluate|calculate|compute|find|work out|what is)${END}:?)? ?(.*?)(?: for ([a-z]))?)$`, "isu");
  const REWRITTEN = [
    [new RegExp(`(?<![${D}.])\\$ ?(?=[${D}.])`, "gu"), ""],
    [new RegExp(`(?<![${D}.,])[1-9]${D}{0,2}(?:,${D}{3})+(?![${D},])`, "gu"), match => match.replaceAll(",", "")],
    [new RegExp(`(?<![${D}a-zA-Z.)\\]])(?<![${D}a-zA-Z.)\\]] )(${D}{1,9}) (${D}{1,9})/(${D}{1,9})(?! ?[${D}.])`, "gu"), mixedNumber],
    [new RegExp(`(?<![${D}.])(${DIGITS}) ?\\^ ?([1-9]${D}?)(?! ?[${D}.%^])`, "gu"), power]];
  const REFUSED = [
    ["//", "type one / for a division"],
    ["==", "type one ="],
    ["\\\\[a-zA-Z]*", String.raw`no LaTeX; type * for \times, a/b for \frac{a}{b}`],
    ["\\$", "a $ is read before a number only, as in $45-$12"],
    [`${D}[eE]${D}`, "write the number out, 1000 for 1e3"],
    ["[a-zA-Z]{2,}", "no words; an unknown is one letter, |3-5| an absolute value"],
    ["\\^", "a power is number^n, n a whole number from 1 to 64; type a product"],
    [`(?<![${D}.])(?<![${D}.] )%`, "a percent sign stands behind a number; type /100"],
    [",", "a comma stands before groups of three digits, 1,200; type a decimal point"],
    ["_", "digits are grouped by commas or not at all; type 1,000 or 1000"],
    ["[<>≤≥≠]", "only expressions and equations are read; type ="],
    [";", "type one problem at a time"],
    [`(?<!${D})\\.(?!${D})`, "a point stands in a number, as in 0.5"],
    ["[^0-9a-zA-Z.%+*/()\\[\\]| =\\-]", "type numbers, + - * / ( ) | | = and one letter"],
  ].map(([pattern, wayOut]) => [new RegExp(pattern, "u"), wayOut]);

  /** 3 1/2 -> (3+1/2). */
  function mixedNumber(match, whole, above, below) {
    if (/[^0-9]/.test(above + below)) return match; // digits of another script: refused further down
    return BigInt(above) < BigInt(below) ? `(${whole}+${above}/${below})` : match;
  }

  /** 2^3 -> 2*2*2, in parentheses behind a division. */
  function power(match, number, exponent, at, whole) {
    if (/[^0-9]/.test(exponent)) return match;
    const text = Array(Number(exponent)).fill(number).join("*");
    return whole.slice(0, at).replace(/[ +-]+$/, "").endsWith("/") ? `(${text})` : text;
  }

  const strip = (text, set) => text.replace(new RegExp(`^[${set}]+|[${set}]+$`, "gu"), "");
  const BREAK = "(?:\\r\\n|[\\n\\v\\f\\r\\x1c-\\x1e\\x85\\u2028\\u2029])";
  const BREAKS = new RegExp(BREAK), LAST_BREAK = new RegExp(`${BREAK}$`);
  const BLANKS = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/g;

  /** [the text in plain notation, the letter that a sentence asks for or null]. */
  function tidiedText(text) {
    const size = Array.from(text).length;
    if (size > MAX_CHARACTERS) refuse(text, `${size} characters, over ${MAX_CHARACTERS}; shorten it`);
    let plain = strip(text, "\\ufeff \\t\\r\\n");
    if (BREAKS.test(plain.replace(LAST_BREAK, ""))) refuse(text, "more than one line; type one problem at a time");
    plain = strip(plain.replace(BLANKS, " "), " ").replace(/ ?[.?]$/, "");
    const [, first, second, rest, last] = SENTENCE.exec(plain);
    plain = tidiedSigns(rest);
    if (!plain) refuse(text, "nothing to read; type a problem such as 3*(4+5) or 2*x+1=7");
    for (const [pattern, wayOut] of REFUSED) {
      const found = pattern.exec(plain);
      if (found) refuse(text, `can't read ${quoted(found[0], 20)}: ${wayOut}`);
    }
    return [plain, first || second || last || null];
  }

  /** Each sign with one look, without << >> or a dangling =, and as REWRITTEN says. */
  function tidiedSigns(plain) {
    plain = strip(Array.from(plain, c => SAME[c] ?? c).join("").replaceAll("**", "^"), " ");
    if (plain.startsWith("<<") && plain.endsWith(">>")) plain = plain.slice(2, -2);
    if (plain.startsWith("=") !== plain.endsWith("=") && !plain.includes("==")) plain = strip(plain, "=");
    for (const [pattern, to] of REWRITTEN) plain = plain.replace(pattern, to);
    return strip(plain, " ");
  }

  // ---- tokens

  const TOKEN = new RegExp(`(${DIGITS} ?%?)|([a-zA-Z])|([^ ])`, "gu");
  const MISPLACED = [
    [/%[xn([]/, "a value behind %, percent or remainder? type /100* for percent"],
    [/[n%x)\]|][+-]%/, "percent of what? type 100-100*25/100 or 100-25/100"],
    [/[n%][n%]/, "two numbers side by side; type the sign between them"],
    [/x[n%]/, "a number behind a letter; type 3*x for x times 3, 6*4 for 6 times 4"]];

  /** [marks, one for each token; the tokens' texts; the letter of the unknown or null]. */
  function tokensOf(text, plain) {
    const found = [...plain.matchAll(TOKEN)], letters = new Set();
    let marks = "", digits = 0;
    for (const [, number, letter, sign] of found) {
      if (number) digits += number.length;
      if (letter) letters.add(letter.toLowerCase());
      marks += sign ?? (letter ? "x" : number.endsWith("%") ? "%" : "n");
    }
    if (digits > MAX_DIGITS) refuse(text, `over ${MAX_DIGITS} digits in its numbers; shorten them`);
    if (letters.size === 1 && letters.has("x") && !marks.includes("=")) marks = marks.replace(/(?<=[n)\]])x(?=[n([])/g, "*");
    checkTokens(text, marks, letters);
    const words = found.map(([word]) => word), at = marks.indexOf("x");
    return [marks.replaceAll("%", "n"), words, at < 0 ? null : words[at]];
  }

  const count = (text, characters) => Array.from(text).filter(c => characters.includes(c)).length;

  function checkTokens(text, marks, letters) {
    const size = marks.length, numbers = count(marks, "nx%");
    if (size > MAX_TOKENS) refuse(text, `${size} tokens; at most ${MAX_TOKENS} are read: shorten it`);
    if (numbers > MAX_NUMBERS) refuse(text, `${numbers} numbers; at most ${MAX_NUMBERS} are read: shorten it`);
    if (letters.size > 1) {
      const [first, second] = [...letters].sort();
      refuse(text, `two unknowns, ${first} and ${second}; use one letter`);
    }
    if (count(marks, "=") > 1) refuse(text, "more than one =; type one equation");
    for (const [pattern, why] of MISPLACED) if (pattern.test(marks)) refuse(text, why);
  }

  /** The exact value of a number's text: 12, 0.5, .25, 15%. */
  function numberValue(word) {
    const [whole, decimals = ""] = word.replace(/[ %]+$/, "").split(".");
    const hundred = word.endsWith("%") ? 100n : 1n;
    return lowest(0n, BigInt(whole + decimals), 0n, hundred * 10n ** BigInt(decimals.length));
  }

  // ---- the grammar

  class Reader {
    constructor(text, marks, words, letter) {
      Object.assign(this, { text, marks: `${marks}\n`, words, letter, at: 0, kinds: [], values: [], groups: [["", false]] });
    }

    /** sum := product (("+" | "-") product)* */
    sum() {
      let tree = this.product();
      for (let sign; "+-".includes(sign = this.marks[this.at]); ) {
        this.at += 1;
        this.kinds.push(sign === "+" ? PLUS : MINUS);
        tree = [sign, tree, this.product()];
      }
      return tree;
    }

    /** product := value (("*" | "/" | nothing) value)* */
    product() {
      let tree = this.value();
      for (;;) {
        let sign = this.marks[this.at];
        if ("*/".includes(sign)) this.at += 1;
        else if (this.valueFollows(sign)) sign = "*";
        else return tree;
        this.kinds.push(sign === "*" ? TIMES : DIVIDE);
        tree = [sign, tree, this.value()];
      }
    }

    /** Whether a value starts directly behind another: a product without a sign. */
    valueFollows(mark) {
      const group = this.groups.at(-1), before = this.marks[this.at - 1];
      if (mark === "|" && group[0] !== "|") {
        if (group[1] && before !== "|") refuse(this.text, "its bars pair in two ways; type the * beside them");
        return true;
      }
      if ("nx([".includes(mark) && before === "|") group[1] = true;
      return "nx([".includes(mark);
    }

    /** value := ("+" | "-")* (number | unknown | group); a plus is dropped. */
    value() {
      const mark = this.marks[this.at];
      if ("([|".includes(mark)) return this.group(mark);
      if (!"nx+-".includes(mark)) {
        refuse(this.text, `${mark === "\n" ? "ends" : `has ${mark}`} where a value must stand; type a number there`);
      }
      this.at += 1;
      if (mark === "+") return this.value();
      if (mark === "-") {
        this.kinds.push(NEGATIVE);
        return ["neg", this.value()];
      }
      this.kinds.push(mark === "n" ? NUMBER : X);
      this.values.push(mark === "n" ? numberValue(this.words[this.at - 1]) : UNKNOWN);
      return this.values.length - 1;
    }

    /** group := "(" sum ")" | "[" sum "]" | "|" sum "|"; tidied where it is lone. */
    group(mark) {
      const closing = { "(": ")", "[": "]", "|": "|" }[mark], start = this.kinds.length;
      if (this.groups.length > MAX_TOKENS / 2) refuse(this.text, `too many ${mark} to be closed; close them earlier`);
      this.at += 1;
      this.groups.push([mark, false]);
      this.kinds.push(mark === "|" ? BAR : OPEN);
      const tree = this.sum();
      if (this.marks[this.at] !== closing) refuse(this.text, `a ${mark} is not closed; type the missing ${closing}`);
      this.at += 1;
      this.groups.pop();
      const [inner, ...more] = this.kinds.slice(start + 1);
      if (!more.length && (inner === NUMBER || (inner === X && mark !== "|"))) {
        this.kinds.splice(start, 1);
        return tree;
      }
      this.kinds.push(mark === "|" ? BAR_END : CLOSE);
      return mark === "|" ? ["abs", tree] : tree;
    }

    /** The tree of the whole text: an expression or an equation. */
    all(asked) {
      let tree = this.sum();
      const unknown = this.letter, equation = this.marks[this.at] === "=";
      if (equation) {
        this.kinds.push(EQUALS);
        this.at += 1;
        this.groups = [["", false]];
        tree = ["=", tree, this.sum()];
      }
      const mark = this.marks[this.at], size = this.kinds.length;
      if (mark !== "\n") refuse(this.text, `this ${mark} closes nothing; leave it out`);
      if (unknown && !equation) refuse(this.text, `an unknown, ${unknown}, but no equation; type both sides`);
      if (equation && !unknown) this.refuseEquality(tree[1], tree[2]);
      if (size > MAX_TOKENS) refuse(this.text, `${size} tokens with each * written; at most ${MAX_TOKENS} are read: shorten it`);
      if (asked && asked.toLowerCase() !== (unknown ?? "").toLowerCase()) {
        refuse(this.text, `asks for ${asked}, which is not in it; name its unknown`);
      }
      return tree;
    }

    /** Say what the two sides of an equation without an unknown are worth. */
    refuseEquality(...sides) {
      let worth;
      try {
        worth = sides.map(side => brief(workedOut(side, this.values, [])));
      } catch (reason) {
        if (!(reason instanceof Undefined)) throw reason;
        refuse(this.text, `no unknown, and ${reason.message}; type one side without that`);
      }
      refuse(this.text, `no unknown; its sides are worth ${worth[0]} and ${worth[1]}: `
        + "type one side, or a letter for what is sought");
    }
  }

  // ---- the answer

  /** The answer; appends the values of the sub-tasks to tasks, inner ones first. */
  function workedOut(tree, values, tasks) {
    const divisors = [];
    const answer = partWorkedOut(tree, values, tasks, divisors);
    for (const form of divisors) {
      if (form.p * answer.q + form.q * answer.s === 0n) {
        throw new Undefined(`no solution: ${brief(answer)} would divide by zero`);
      }
    }
    return answer;
  }

  function partWorkedOut(tree, values, tasks, divisors) {
    if (typeof tree === "number") return values[tree];
    const [sign, ...parts] = tree;
    const [a, b] = parts.map(part => partWorkedOut(part, values, tasks, divisors));
    if (sign === "abs" && a.hasUnknown) throw new Undefined(`bars around an unknown, |${brief(a)}|`);
    if (sign === "abs" && a.sign >= 0) return a;
    if (sign === "/" && b.hasUnknown) divisors.push(b);
    tasks.push(b ? combined(a, sign === "=" ? "-" : sign, b) : a.neg());
    if (sign === "=") tasks.push(tasks.at(-1).root());
    return tasks.at(-1);
  }

  /** {text, kinds, values, tree, tasks, answer, unknown}; MNAError if the text states no problem. */
  function parse(text) {
    const [plain, asked] = tidiedText(text);
    const reader = new Reader(text, ...tokensOf(text, plain)), tree = reader.all(asked), tasks = [];
    let answer;
    try {
      answer = workedOut(tree, reader.values, tasks);
    } catch (reason) {
      if (!(reason instanceof Undefined)) throw reason;
      refuse(text, `${reason.message}; type a linear problem with one answer`);
    }
    return { text, kinds: reader.kinds, values: reader.values, tree, tasks, answer, unknown: reader.letter };
  }

  /** Is the structure kept for exams? Every fifth by its hash (CRC-32), from 3 numbers on. */
  function heldOut(kinds) {
    if (kinds.filter(kind => kind === NUMBER || kind === X).length <= 2) return false;
    let hash = -1;
    for (const kind of kinds) {
      hash ^= kind;
      for (let bit = 0; bit < 8; bit++) hash = (hash >>> 1) ^ (hash & 1 ? 0xedb88320 : 0);
    }
    return ((hash ^ -1) >>> 0) % 5 === 0;
  }

  /** The fewest memory slots that do, in the best order (Sethi & Ullman 1970). */
  function slotsNeeded(problem) {
    let at = 0;
    const visit = tree => { // [results held at once, value]
      if (typeof tree === "number") return [0, problem.values[tree]];
      const parts = tree.slice(1).map(visit), [[a, value], [b] = []] = parts;
      if (tree[0] === "abs" && value.sign >= 0) return [a, value];
      const held = b === undefined ? Math.max(1, a) : a === b ? a + 1 : Math.max(1, a, b);
      return [held, problem.tasks[at++]];
    };
    return Math.max(0, visit(problem.tree)[0] - 1);
  }

  Object.assign(mna, {
    PAD, NUMBER, X, NEGATIVE, OPEN, CLOSE, BAR, BAR_END, SYMBOLS, MNAError, Undefined, Value,
    parse, heldOut, slotsNeeded, quoted, brief });
})(globalThis.mna ??= {});
