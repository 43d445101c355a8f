// @vitest-environment happy-dom
/** Hints and menus tell the keys that do the same: they name shortcuts that there are, and follow when these get other keys. */
import { readdirSync, readFileSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { keysFor, SHORTCUTS } from "../src/canvas/shortcuts";
import { ORIGINAL, set } from "../src/state/settings";

const SRC = `${import.meta.dirname}/../src`;
const sources = readdirSync(SRC, { recursive: true, encoding: "utf8" })
  .filter((name) => /\.tsx?$/.test(name))
  .map((name) => [name, readFileSync(`${SRC}/${name}`, "utf8")] as const);
const NAMED = /(?:shortcut: |shortcut=|data-shortcut=|keysFor\()"([^"]+)"/g;

afterEach(() => set(ORIGINAL));

describe("what names a shortcut", () => {
  const named = sources.flatMap(([file, text]) =>
    [...text.matchAll(NAMED)].map((found) => [file, found[1] ?? ""]),
  );
  it("is found in the sources", () => expect(named.length).toBeGreaterThan(30));
  it.each(named)("%s: %s", (_, label) => {
    expect(SHORTCUTS.map((own) => own.label)).toContain(label);
  });
});

describe("keys of a label", () => {
  it("are those that were given to it, and none once another has them", () => {
    expect(keysFor("Mute")).toBe("M");
    set({ keys: { Mute: ["Ctrl Shift M"], Bypass: [] } });
    expect(keysFor("Mute")).toBe("Ctrl Shift M");
    expect(keysFor("Bypass")).toBe("");
  });
  it("are typed nowhere", () => {
    const KEYS = /(?:tip|data-tip)=\{?["`][^"`]*\((?:Ctrl|Alt|Shift|Home|[A-Z])\b/;
    expect(sources.filter(([, text]) => KEYS.test(text)).map(([file]) => file)).toEqual([]);
    const items = /\bkeys: "(?!double-click|Ctrl [CXV]")/;
    const menus = sources.filter(([file, text]) => /Menu|menus|Tabs/.test(file) && items.test(text));
    expect(menus.map(([file]) => file)).toEqual([]);
  });
});
