/** Tables for people: read from CSV and JSON, in the order of a column, and as CSV. */
import { figures } from "./format";

export interface Order {
  readonly column: number;
  readonly descending: boolean;
}

type Row = readonly string[];

/** The rows in order: numbers by number, then texts; equal ones stay in order, empty cells come last. */
export function sorted(rows: readonly Row[], order: Order | null): readonly Row[] {
  if (!order) return rows;
  const cell = (row: Row) => row[order.column] ?? "";
  const compare = (a: string, b: string): number => {
    const [x, y] = [Number(a), Number(b)];
    const [isText, isOtherText] = [Number.isNaN(x), Number.isNaN(y)];
    const numbersFirst = Number(isText) - Number(isOtherText);
    const ahead = numbersFirst || (isText ? a.localeCompare(b) : x - y);
    return order.descending ? -ahead : ahead;
  };
  return [...rows].sort((a, b) => {
    const [x, y] = [cell(a), cell(b)];
    return x === "" || y === "" ? Number(x === "") - Number(y === "") : compare(x, y);
  });
}

/** Whether a column holds numbers, and what is unknown, alone. */
export const isOfNumbers = (rows: readonly Row[], column: number): boolean => {
  const known = rows.map((row) => row[column] ?? "").filter((cell) => cell !== "");
  return (
    known.length > 0 &&
    known.every((cell) => cell === "nan" || /^-?inf$/.test(cell) || !Number.isNaN(Number(cell)))
  );
};

/** A table as CSV, quoted where it must be. */
export function csvOf(head: Row, rows: readonly Row[]): string {
  const quoted = (cell: string) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  return [head, ...rows].map((row) => row.map(quoted).join(",")).join("\r\n") + "\r\n";
}

/** The rows of a CSV; what is between quotes may hold commas, quotes and line breaks. */
export function csvRows(text: string): string[][] {
  const rows: string[][] = [[]];
  for (const [, quoted, plain, end] of text.trim().matchAll(/(?:"((?:[^"]|"")*)"|([^,\r\n]*))(,|\r?\n|$)/g)) {
    rows.at(-1)?.push(quoted?.replaceAll('""', '"') ?? plain ?? "");
    if (end === "") break;
    if (end !== ",") rows.push([]);
  }
  return rows;
}

/** A list of objects, or one object of plain values, as a table; null where it is neither. */
export function jsonRows(text: string): string[][] | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const say = (cell: unknown) =>
    typeof cell === "string" ? cell : typeof cell === "number" ? figures(cell) : JSON.stringify(cell);
  if (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((row) => typeof row === "object" && row !== null)
  ) {
    const rows = value as Record<string, unknown>[];
    const head = [...new Set(rows.flatMap((row) => Object.keys(row)))];
    return [head, ...rows.map((row) => head.map((key) => (key in row ? say(row[key]) : "")))];
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return [["", ""], ...Object.entries(value).map(([key, cell]) => [key, say(cell)])];
  }
  return null;
}
