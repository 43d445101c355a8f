/** Random choices. */
import type { Point } from "../src/drawing/geometry";

/** Chooses by numbers that a generator made, so that a failing sequence can be shrunk. */
export class Picker {
  private at = 0;
  constructor(private readonly numbers: readonly number[]) {}
  upTo(n: number): number {
    return (this.numbers[this.at++ % this.numbers.length] ?? 0) % n;
  }
  of<T>(list: readonly T[]): T | undefined {
    return list.length === 0 ? undefined : list[this.upTo(list.length)];
  }
  some<T>(list: readonly T[]): T[] {
    return list.filter(() => this.upTo(3) === 0);
  }
  point(): Point {
    return [this.upTo(900) - 200, this.upTo(700) - 150];
  }
  text(): string {
    return (
      ["", "a", "noise", "My workflow", "ä 漢字 \u{1f9f6}", 'quo"te\n', "sample", "b7"][this.upTo(8)] ?? ""
    );
  }
}
