/** What was typed into a field for numbers: digits as they are, or a calculation and what comes of it. */
import { evaluate } from "../document/expressions";
import { readNumber, type Json } from "../document/json";
import { brief } from "../drawing/rounding";

const LITERAL = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;
const SHORT = 12; // letters

/** The number to save. Throws SyntaxError, in a sentence for people, where the text is none. */
export function readTyped(text: string, integer: boolean): Json {
  const clean = text.trim();
  if (/^-?\d+$/.test(clean)) return readNumber(clean);
  if (LITERAL.test(clean) && Number.isFinite(Number(clean))) return Number(clean);
  const value = evaluate(clean);
  if (integer && !Number.isInteger(value))
    throw new SyntaxError(`Whole numbers only, and ${clean} is ${brief(value)}`);
  if (Number.isInteger(value) && !Number.isSafeInteger(value) && integer)
    throw new SyntaxError(`${clean} is too large to be worked out to the last digit; type its digits`);
  return withoutNoise(value);
}

/** 0.1 + 0.2 is 0.3; 1/3 keeps all that a double holds of it. */
function withoutNoise(value: number): number {
  const rounded = Number(value.toPrecision(15));
  return String(rounded).length <= SHORT ? rounded : value;
}
