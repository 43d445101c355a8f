import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { apply, did, NOTHING, redid, stamp, undid, type Ground, type Step } from "../src/drawing/brush";
import type { Point, Size } from "../src/drawing/geometry";
import { fitted, inPicture, moved, pinchOf, zoomed } from "../src/drawing/zooming";
import { apart, labelOf } from "../src/panels/pictureLabels";
import { docOf } from "./documents";

const side = fc.integer({ min: 1, max: 4000 });
const size = fc.tuple(side, side) as fc.Arbitrary<Size>;
const coordinate = fc.double({ min: -2000, max: 2000, noNaN: true });
const point = fc.tuple(coordinate, coordinate) as fc.Arbitrary<Point>;

describe("looking at a picture", () => {
  it("fits it whole in the middle, and small ones by a whole factor", () => {
    expect(fitted([64, 48], [400, 300])).toEqual({ scale: 6, at: [8, 6] });
    expect(fitted([800, 400], [400, 300])).toEqual({ scale: 0.5, at: [0, 50] });
    fc.assert(
      fc.property(size, size, (picture, box) => {
        const { scale, at } = fitted(picture, box);
        if (scale <= 0.02) return;
        for (const axis of [0, 1] as const) {
          expect(at[axis]).toBeGreaterThanOrEqual(-1e-6);
          expect(at[axis] * 2 + picture[axis] * scale).toBeCloseTo(box[axis], 5);
        }
      }),
    );
  });

  it("zooms about what the pointer is on, and fingers keep what they hold", () => {
    fc.assert(
      fc.property(
        size,
        size,
        point,
        fc.double({ min: 0.5, max: 2, noNaN: true }),
        (picture, box, at, factor) => {
          const before = fitted(picture, box);
          const after = zoomed(before, factor, at);
          const [x, y] = inPicture(after, at);
          const [wasX, wasY] = inPicture(before, at);
          expect(Math.abs(x - wasX) * after.scale).toBeLessThan(1e-6 * 4000);
          expect(Math.abs(y - wasY) * after.scale).toBeLessThan(1e-6 * 4000);
        },
      ),
    );
    const look = { scale: 1, at: [0, 0] as Point };
    const { factor, from, to } = pinchOf(
      [
        [0, 0],
        [10, 0],
      ],
      [
        [0, 0],
        [20, 0],
      ],
    );
    const wider = moved(zoomed(look, factor, from), [to[0] - from[0], to[1] - from[1]]);
    expect(wider.scale).toBe(2);
    expect(inPicture(wider, [20, 0])).toEqual([10, 0]);
    expect(moved(look, [3, 4]).at).toEqual([3, 4]);
  });
});

describe("what was painted", () => {
  const step = fc.constantFrom<Step>({ kind: "fill" }, { kind: "clear" }, { kind: "invert" });
  it("is undone step by step and done again, and a new step ends what was undone", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), fc.nat(12), (steps, back) => {
        const all = steps.reduce(did, NOTHING);
        let now = all;
        for (let i = 0; i < back; i++) now = undid(now);
        expect(now.done).toEqual(steps.slice(0, Math.max(0, steps.length - back)));
        for (let i = 0; i < back; i++) now = redid(now);
        expect(now.done).toEqual(all.done);
        expect(did(undid(all), { kind: "fill" }).undone).toEqual([]);
      }),
    );
  });

  it("covers a line without gaps, and an eraser takes out", () => {
    const discs: [number, number, number][] = [];
    const modes: string[] = [];
    const ground = {
      canvas: { width: 9, height: 9 },
      beginPath: () => undefined,
      arc: (x: number, y: number, radius: number) => discs.push([x, y, radius]),
      fill: () => modes.push(ground.globalCompositeOperation),
      clearRect: () => modes.push("clear"),
      fillRect: () => modes.push(ground.globalCompositeOperation),
      globalCompositeOperation: "source-over",
      fillStyle: "",
    };
    const on = ground as unknown as Ground;
    stamp(on, { size: 8, hardness: 1, erases: true }, [0, 0], [100, 0], "#ffffff");
    expect(new Set(modes)).toEqual(new Set(["destination-out"]));
    discs.slice(1).forEach(([x], i) => expect(x - (discs[i]?.[0] ?? 0)).toBeLessThanOrEqual(1));
    expect(discs.at(-1)).toEqual([100, 0, 4]);
    modes.length = 0;
    for (const kind of ["fill", "clear", "invert"] as const) apply(on, { kind }, "#ffffff");
    expect(modes).toEqual(["source-over", "clear", "source-out"]);
  });
});

describe("labels", () => {
  it("say in what settings differ, by the shortest name that is clear", () => {
    expect(
      apart([
        { "a.scale": "1", "b.seed": "7" },
        { "a.scale": "3", "b.seed": "7" },
      ]),
    ).toEqual(["scale 1", "scale 3"]);
    expect(
      apart([
        { "a.seed": "1", "b.seed": "1" },
        { "a.seed": "2", "b.seed": "3" },
      ]),
    ).toEqual(["a.seed 1, b.seed 1", "a.seed 2, b.seed 3"]);
    expect(apart([{ "a.x": "1" }, { "a.x": "1" }])).toEqual(["", ""]);
  });

  it("say what a loop over typed lists is at", () => {
    const doc = docOf({
      grid: {
        type: "for_each",
        params: { over: { scale: [1, 3.5], word: ["a", "b"] } },
        body: { nodes: { show: { type: "image" } }, results: {} },
      },
      alone: { type: "image" },
    });
    expect(labelOf(doc, "show", 1)).toBe("show · scale 3.5, word b");
    expect(labelOf(doc, "alone", null)).toBe("alone");
  });
});
