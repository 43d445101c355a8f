// @vitest-environment happy-dom
/** German has a line for what menus, hints and shortcuts say, and none for what nothing says. */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { ALSO, SHORTCUTS } from "../src/canvas/shortcuts";
import { barItems } from "../src/panels/BarMenu";
import { de } from "../src/strings/de";

const SRC = `${import.meta.dirname}/../src`;
const sources = readdirSync(SRC, { recursive: true, encoding: "utf8" })
  .filter((name) => /\.tsx?$/.test(name) && !name.startsWith("strings"))
  .map((name) => readFileSync(`${SRC}/${name}`, "utf8"));
const all = sources.join("\n");
const phrases = Object.keys(de);
const saidIn = (pattern: RegExp): string[] => [...all.matchAll(pattern)].map((found) => found[1] ?? "");

describe("German", () => {
  it("has no line that nothing says", () => {
    const says = (phrase: string) => all.includes(`"${phrase}"`) || all.includes(`text|${phrase}"`);
    const named = (phrase: string) => new RegExp(`\\b${phrase}: "`).test(all); // the name of an entry of a table
    expect(phrases.filter((phrase) => !says(phrase) && !(/^\w+$/.test(phrase) && named(phrase)))).toEqual([]);
  });
  it.each([
    ["shortcuts", [...SHORTCUTS, ...ALSO].map((own) => own.label)],
    ["the menu of the bar", barItems(390).flatMap((own) => (own ? [own.label] : []))],
    ["menus", saidIn(/\{ ?label: "([^"]+)", (?:shortcut|keys|danger|disabled|run)/g)],
    ["buttons with a picture", saidIn(/<IconButton\s+(?:small )?label="([^"]+)"/g)],
    ["hints", saidIn(/data-tip="text\|([^"]+)"/g)],
  ])("has a line for all that %s say", (_, said) => {
    expect(said.length).toBeGreaterThan(5);
    expect(said.filter((text) => !phrases.includes(text))).toEqual([]);
  });
});
