/** Calculations in number fields: what they come to, and what is said of those that come to nothing. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { evaluate } from "../src/document/expressions";
import { brief, niceStep, toStep } from "../src/drawing/rounding";
import { readTyped } from "../src/widgets/typed";
import { readList } from "../src/widgets/Text";
import { cases } from "./effort";

describe("calculations", () => {
  it.each([
    ["2*16", 32],
    ["1/3", 1 / 3],
    ["2**10", 1024],
    ["-2**2", -4],
    ["2**-1", 0.5],
    ["2**3**2", 512],
    ["7//2", 3],
    ["-7//2", -4],
    ["-7 % 3", 2],
    ["1 - 2 - 3", -4],
    ["2 * (3 + 4)", 14],
    ["1e-4 * 10", 1e-3],
    [".5 + 1.", 1.5],
    ["1_000_000", 1e6],
    ["sqrt(2)**2", 2.0000000000000004],
    ["max(1, 2, 3) / 2", 1.5],
    ["log2(8)", 3],
    ["pi", Math.PI],
    ["+3", 3],
    ["--3", 3],
    ["64 * 64 / 4096", 1],
  ])("%s", (text, value) => expect(evaluate(text)).toBe(value));

  it.each([
    ["", "Type a number"],
    ["2*", "Something is missing"],
    ["*2", "missing before *"],
    ["(2", "not closed"],
    ["2)", ") cannot stand there"],
    ["2 3", "3 cannot stand there"],
    ["2^10", "written 2**10"],
    ["0,5", "decimal point is a point"],
    ["1/0", "division by zero"],
    ["5 % 0", "division by zero"],
    ["sqrt(-1)", "no real number"],
    ["9**9**9", "no finite number"],
    ["foo", "foo is no number"],
    ["alert(1)", "alert is no number"],
    ["constructor", "constructor is no number"],
    ["__proto__", "__proto__ is no number"],
    ["sqrt", "sqrt is a function"],
    ["sqrt(1, 2)", "takes one number"],
    ["x = 3", "= has no meaning"],
    ["[1]", "[ has no meaning"],
    ["`1`", "` has no meaning"],
    ["(".repeat(500), "at most 200 letters"],
  ])("%s is told", (text, sentence) => expect(() => evaluate(text)).toThrow(sentence));

  it("any text gives a finite number or a sentence", () => {
    const letters = fc.constantFrom(
      ...Array.from("0123456789.+-*/%()e_, ^"),
      "**",
      "//",
      "sqrt",
      "min",
      "pi",
    );
    fc.assert(
      fc.property(fc.array(letters, { maxLength: 30 }), (parts) => {
        try {
          expect(Number.isFinite(evaluate(parts.join("")))).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(SyntaxError);
        }
      }),
      { numRuns: cases(500, 50_000) },
    );
  });
});

describe("what is typed into a field", () => {
  it("stays as its digits, or becomes what it comes to", () => {
    expect(readTyped("18446744073709551615", true)).toMatchObject({ value: "18446744073709551615" });
    expect(readTyped("0.1 + 0.2", false)).toBe(0.3);
    expect(readTyped("1/3", false)).toBe(1 / 3);
    expect(readTyped("2**10", true)).toBe(1024);
    expect(() => readTyped("1/3", true)).toThrow("Whole numbers only, and 1/3 is 0.333333");
    expect(() => readTyped("2**64", true)).toThrow("type its digits");
    expect(() => readTyped("Infinity", false)).toThrow("is no number");
  });

  it("holds for lists as well", () => {
    expect(readList("64*4, 2**5", "integer")).toEqual([256, 32]);
    expect(readList("1/4, 1", "number")).toEqual([0.25, 1]);
    expect(readList("1/3", "integer")).toBeNull();
  });
});

describe("numbers that a hand reaches", () => {
  it("have no more digits than a pixel is worth", () => {
    expect(niceStep(30 / 200)).toBeCloseTo(0.1, 12);
    expect(niceStep(1 / 200)).toBeCloseTo(0.005, 12);
    expect(niceStep(7)).toBe(5);
    expect(toStep(3.4375, 0.1)).toBe(3.4);
    expect(toStep(0.30000000000000004, 0.1)).toBe(0.3);
    expect(toStep(0.0123, 0.005)).toBe(0.01);
    expect(toStep(1234, 50)).toBe(1250);
    expect(toStep(3e-5, 1e-6)).toBe(3e-5);
  });

  it("are shown in few letters", () => {
    expect(brief(1 / 3)).toBe("0.333333");
    expect(brief(1e-7)).toBe("1e-7");
    expect(brief(1234567)).toBe("1234567");
  });
});
