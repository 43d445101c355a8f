/**
 * Ways for wires round the nodes that they do not touch. A curve that runs free is kept; otherwise the way is the shortest
 * one of horizontal and vertical lines along the boxes' sides, a bend counting as a detour (A* on the grid of all sides).
 */
import { alongCurve } from "./wires";
import type { Box, Point } from "./pushing";

/** How far from a node a wire passes it. */
const MARGIN = 11;
/** How near a curve may come to one. */
const NEAR = 3;
const BEND = 60;
/** Boxes further away than this from both ends are not looked at. */
const AROUND = 500;
const MOST = 60;

/** The points of the way as x, y, x, y, …; null where the plain curve runs free, or no way is found. */
export function route(
  from: Point,
  to: Point,
  boxes: readonly Box[],
  own: readonly string[],
): number[] | null {
  const near = boxes.filter((box) => isNear(box, from, to));
  const others = near.filter((box) => !own.includes(box.id));
  const samples = alongCurve(from, to, 32);
  if (!others.some((box) => samples.some((point) => holds(box, point, NEAR)))) return null;
  if (near.length > MOST) return null;
  return shortest(from, to, near);
}

function isNear({ at, size }: Box, from: Point, to: Point): boolean {
  return (
    at[0] < Math.max(from[0], to[0]) + AROUND &&
    at[0] + size[0] > Math.min(from[0], to[0]) - AROUND &&
    at[1] < Math.max(from[1], to[1]) + AROUND &&
    at[1] + size[1] > Math.min(from[1], to[1]) - AROUND
  );
}

const holds = ({ at, size }: Box, [x, y]: Point, margin: number): boolean =>
  x > at[0] - margin && x < at[0] + size[0] + margin && y > at[1] - margin && y < at[1] + size[1] + margin;

function shortest(from: Point, to: Point, boxes: readonly Box[]): number[] | null {
  const start: Point = [from[0] + MARGIN, from[1]];
  const end: Point = [to[0] - MARGIN, to[1]];
  const xs = lines(
    [start[0], end[0]],
    boxes.flatMap(({ at, size }) => [at[0] - MARGIN, at[0] + size[0] + MARGIN]),
  );
  const ys = lines(
    [start[1], end[1]],
    boxes.flatMap(({ at, size }) => [at[1] - MARGIN, at[1] + size[1] + MARGIN]),
  );
  const columns = xs.length;
  const x = (cell: number): number => xs[cell % columns] ?? 0;
  const y = (cell: number): number => ys[Math.floor(cell / columns)] ?? 0;
  const cellAt = (point: Point): number => ys.indexOf(point[1]) * columns + xs.indexOf(point[0]);
  // Whether the line from a cell to the next one runs free, looked at once: 0 is not known, 1 free, 2 not.
  const looked = new Uint8Array(2 * columns * ys.length);
  const isFree = (a: number, b: number, isVertical: boolean): boolean => {
    const from = Math.min(a, b);
    const key = 2 * from + Number(isVertical);
    if (looked[key] === 0) {
      const line: Box = {
        id: "",
        at: [x(from), y(from)],
        size: [Math.abs(x(a) - x(b)), Math.abs(y(a) - y(b))],
      };
      looked[key] = boxes.some((box) => touches(line, box)) ? 2 : 1;
    }
    return looked[key] === 1;
  };
  // A state is a cell and the direction it was come to: 2 * cell for a horizontal line, one more for a vertical one.
  const goal = cellAt(end);
  const first = 2 * cellAt(start);
  const cost = new Map<number, number>([[first, 0]]);
  const before = new Map<number, number>();
  const rest = (cell: number): number => Math.abs(end[0] - x(cell)) + Math.abs(end[1] - y(cell));
  const open = new Queue();
  open.add(first, 0);
  for (let state = open.take(); state !== undefined; state = open.take()) {
    const cell = state >> 1;
    const isVertical = (state & 1) === 1;
    if (cell === goal && !isVertical) return pointsOf(state, before, from, to, x, y);
    const column = cell % columns;
    for (const [next, goesDown] of [
      [column > 0 ? cell - 1 : -1, false],
      [column < columns - 1 ? cell + 1 : -1, false],
      [cell - columns, true],
      [cell + columns < columns * ys.length ? cell + columns : -1, true],
    ] as const) {
      if (next < 0 || !isFree(cell, next, goesDown)) continue;
      const reached = 2 * next + Number(goesDown);
      const turned = goesDown !== isVertical;
      const length = Math.abs(x(next) - x(cell)) + Math.abs(y(next) - y(cell));
      const total = (cost.get(state) ?? 0) + length + (turned ? BEND : 0);
      if (total >= (cost.get(reached) ?? Infinity)) continue;
      cost.set(reached, total);
      before.set(reached, state);
      open.add(reached, total + rest(next));
    }
  }
  return null;
}

const touches = (line: Box, { at, size }: Box): boolean =>
  line.at[0] + line.size[0] > at[0] - NEAR &&
  line.at[0] < at[0] + size[0] + NEAR &&
  line.at[1] + line.size[1] > at[1] - NEAR &&
  line.at[1] < at[1] + size[1] + NEAR;

const lines = (ends: readonly number[], sides: readonly number[]): number[] =>
  [...new Set([...ends, ...sides])].sort((a, b) => a - b);

/** The bends of a way that was found, between its two ends. */
function pointsOf(
  last: number,
  before: ReadonlyMap<number, number>,
  from: Point,
  to: Point,
  x: (cell: number) => number,
  y: (cell: number) => number,
): number[] {
  const way: Point[] = [to];
  for (let state: number | undefined = last; state !== undefined; state = before.get(state))
    way.push([x(state >> 1), y(state >> 1)]);
  way.push(from);
  way.reverse();
  const bends = way.filter((point, i) => {
    const [a, b] = [way[i - 1], way[i + 1]];
    return (
      !a || !b || !((a[0] === point[0] && b[0] === point[0]) || (a[1] === point[1] && b[1] === point[1]))
    );
  });
  return bends.flat();
}

/** A binary heap: the state with the least cost first; one that was added again with less is taken twice. */
class Queue {
  private readonly heap: [state: number, cost: number][] = [];

  add(state: number, cost: number): void {
    const { heap } = this;
    let i = heap.push([state, cost]) - 1;
    for (let up = (i - 1) >> 1; i > 0 && this.cost(i) < this.cost(up); i = up, up = (i - 1) >> 1)
      this.swap(i, up);
  }

  take(): number | undefined {
    const { heap } = this;
    if (heap.length === 0) return undefined;
    this.swap(0, heap.length - 1);
    const [state] = heap.pop() ?? [];
    for (let i = 0; ;) {
      const left = 2 * i + 1;
      const least = this.cost(left + 1) < this.cost(left) ? left + 1 : left;
      if (!(this.cost(least) < this.cost(i))) return state;
      this.swap(i, least);
      i = least;
    }
  }

  private cost(i: number): number {
    return this.heap[i]?.[1] ?? Infinity;
  }

  private swap(i: number, j: number): void {
    const [a, b] = [this.heap[i], this.heap[j]];
    if (a && b) [this.heap[i], this.heap[j]] = [b, a];
  }
}
