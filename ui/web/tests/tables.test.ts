import { describe, expect, it } from "vitest";
import { csvOf, csvRows, isOfNumbers, sorted } from "../src/drawing/table";

const ROWS = [
  ["ddim", "10", "a, b"],
  ["heun", "9.5", 'say "x"'],
  ["euler", "", "two\nlines"],
  ["ddpm", "1e-3", ""],
];
const HEAD = ["solver", "fid", "note"];

describe("a table on a node", () => {
  it("is what the file says, commas, quotes, line breaks and empty cells included", () => {
    expect(csvRows(csvOf(HEAD, ROWS))).toEqual([HEAD, ...ROWS]);
    expect(csvRows("a,b\n1,\n,2\n")).toEqual([
      ["a", "b"],
      ["1", ""],
      ["", "2"],
    ]);
    expect(csvRows("a")).toEqual([["a"]]);
  });

  it("has its numbers on the right, and what holds a text not", () => {
    expect(HEAD.map((_, column) => isOfNumbers(ROWS, column))).toEqual([false, true, false]);
    expect(isOfNumbers([["nan"], ["-inf"], [""]], 0)).toBe(true);
    expect(isOfNumbers([[""]], 0)).toBe(false);
  });

  it("is sorted by numbers where they are, else by text, what is unknown last, and as it was", () => {
    const by = (column: number, descending: boolean) =>
      sorted(ROWS, { column, descending }).map(([solver]) => solver);
    expect(by(1, false)).toEqual(["ddpm", "heun", "ddim", "euler"]);
    expect(by(1, true)).toEqual(["ddim", "heun", "ddpm", "euler"]);
    expect(by(0, false)).toEqual(["ddim", "ddpm", "euler", "heun"]);
    expect(sorted(ROWS, null)).toEqual(ROWS);
  });

  it("is sorted with its numbers together where a cell among them is none", () => {
    const rows = ["10", "nan", "9", "x", "100"].map((cell) => [cell]);
    const by = (descending: boolean) => sorted(rows, { column: 0, descending }).map(([cell]) => cell);
    expect(by(false)).toEqual(["9", "10", "100", "nan", "x"]);
    expect(by(true)).toEqual(["x", "nan", "100", "10", "9"]);
  });
});
