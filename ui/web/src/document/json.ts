/**
 * JSON that keeps every number as the file wrote it.
 *
 * JavaScript would read 1.0 as 1 and round a 64-bit seed; a file opened and saved must stay the same to the byte. So a
 * number that JavaScript would write otherwise is kept as its text.
 */
import { LosslessNumber, isLosslessNumber, parse as parseLossless, stringify } from "lossless-json";

export type Json =
  null | boolean | number | string | LosslessNumber | readonly Json[] | { readonly [key: string]: Json };

/** A number as a plain one where nothing is lost, else as its text. */
export function readNumber(text: string): number | LosslessNumber {
  const value = Number(text);
  const integral = /^-?\d+$/.test(text);
  const faithful = integral
    ? Number.isSafeInteger(value) && String(value) === text
    : !Number.isInteger(value);
  return faithful && Number.isFinite(value) ? value : new LosslessNumber(text);
}

export function parse(text: string): Json {
  return parseLossless(text, null, { parseNumber: readNumber }) as Json;
}

export function print(value: unknown, indent?: number): string {
  return stringify(value, null, indent) ?? "null";
}

/** The value of a number, whatever keeps it. */
export function numberOf(value: unknown): number | null {
  if (typeof value === "number") return value;
  return isLosslessNumber(value) ? Number(value.value) : null;
}

/** The text of a number, every digit of it. */
export function digitsOf(value: unknown): string {
  return isLosslessNumber(value) ? value.value : typeof value === "number" ? String(value) : "";
}

export function equal(a: unknown, b: unknown): boolean {
  return a === b || print(a) === print(b);
}
