/**
 * Numbers as people type them: `2*16`, `1/3`, `2**10`, `sqrt(2)`.
 *
 * A grammar of its own, so that nothing typed is ever run as a program. Operators bind as in Python, for the same number
 * may be typed there: `-2**2` is -4, `2**3**2` is 512, `7//2` is 3, `-7 % 3` is 2.
 */

const CONSTANTS: Readonly<Record<string, number>> = { pi: Math.PI, e: Math.E };

const FUNCTIONS: Readonly<Record<string, (...given: number[]) => number>> = {
  abs: Math.abs,
  ceil: Math.ceil,
  cos: Math.cos,
  exp: Math.exp,
  floor: Math.floor,
  log: Math.log,
  log10: Math.log10,
  log2: Math.log2,
  max: Math.max,
  min: Math.min,
  round: Math.round,
  sin: Math.sin,
  sqrt: Math.sqrt,
  tan: Math.tan,
};
const TAKES_MANY = new Set(["max", "min"]);

const TOKEN =
  /\s*(?:(\d[\d_]*\.?\d*(?:e[-+]?\d+)?|\.\d+(?:e[-+]?\d+)?)|([a-z_]\w*)|(\*\*|\/\/|[-+*/%(),]))/giy;
const LONGEST = 200;

/** The number that an expression stands for. Throws SyntaxError, in a sentence, where it stands for none. */
export function evaluate(text: string): number {
  if (text.length > LONGEST) throw new SyntaxError(`An expression has at most ${LONGEST} letters`);
  const value = new Reader(tokensOf(text)).whole();
  if (Number.isNaN(value)) throw new SyntaxError(`${text.trim()} is no real number`);
  if (!Number.isFinite(value)) throw new SyntaxError(`${text.trim()} is no finite number`);
  return value;
}

function tokensOf(text: string): string[] {
  const found: string[] = [];
  TOKEN.lastIndex = 0;
  const end = text.trimEnd().length;
  while (TOKEN.lastIndex < end) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (!match) throw new SyntaxError(strange(text.slice(at).trim()));
    found.push(match[0].trim());
  }
  return found;
}

function strange(rest: string): string {
  const letter = Array.from(rest)[0] ?? "";
  if (letter === "^") return "^ is no operator here; a power is written 2**10";
  return `${letter} has no meaning in a number; what may stand there is + - * / // % ** ( )`;
}

/** Reads by precedence, loosest first; a power binds tighter than the sign before it, and looser than the one after it. */
class Reader {
  private at = 0;

  constructor(private readonly tokens: readonly string[]) {}

  whole(): number {
    if (this.tokens.length === 0) throw new SyntaxError("Type a number, or a calculation such as 2*16");
    const value = this.sum();
    const rest = this.tokens[this.at];
    if (rest === ",") throw new SyntaxError("A decimal point is a point: 0.5");
    if (rest !== undefined) throw new SyntaxError(`${rest} cannot stand there`);
    return value;
  }

  private take(...wanted: string[]): string | null {
    const token = this.tokens[this.at];
    if (token === undefined || !wanted.includes(token)) return null;
    this.at++;
    return token;
  }

  private sum(): number {
    let value = this.product();
    for (let op = this.take("+", "-"); op; op = this.take("+", "-"))
      value = op === "+" ? value + this.product() : value - this.product();
    return value;
  }

  private product(): number {
    let value = this.signed();
    for (let op = this.take("*", "/", "//", "%"); op; op = this.take("*", "/", "//", "%")) {
      const by = this.signed();
      if (op !== "*" && by === 0) throw new SyntaxError("A division by zero is no number");
      if (op === "*") value *= by;
      else if (op === "/") value /= by;
      else value = op === "//" ? Math.floor(value / by) : value - by * Math.floor(value / by);
    }
    return value;
  }

  private signed(): number {
    if (this.take("-")) return -this.signed();
    if (this.take("+")) return this.signed();
    const base = this.atom();
    return this.take("**") ? base ** this.signed() : base;
  }

  private atom(): number {
    const token = this.tokens[this.at++];
    if (token === undefined) throw new SyntaxError("Something is missing at the end");
    if (token === "(") return this.closed(this.sum());
    if (/^[\d.]/.test(token)) return Number(token.replaceAll("_", ""));
    const name = token.toLowerCase();
    if (Object.hasOwn(FUNCTIONS, name)) return this.call(name);
    const constant = Object.hasOwn(CONSTANTS, name) ? CONSTANTS[name] : undefined;
    if (constant !== undefined) return constant;
    if (/^[a-z_]/i.test(token)) throw new SyntaxError(`${token} is no number; there is ${KNOWN}`);
    throw new SyntaxError(`A number is missing before ${token}`);
  }

  private call(name: string): number {
    if (!this.take("(")) throw new SyntaxError(`${name} is a function: ${name}(2)`);
    const given = [this.sum()];
    while (this.take(",")) given.push(this.sum());
    if (given.length > 1 && !TAKES_MANY.has(name)) throw new SyntaxError(`${name} takes one number`);
    return this.closed(FUNCTIONS[name]?.(...given) ?? NaN);
  }

  private closed(value: number): number {
    if (!this.take(")")) throw new SyntaxError("A bracket is not closed");
    return value;
  }
}

const KNOWN = [...Object.keys(CONSTANTS), ...Object.keys(FUNCTIONS)].join(", ");
