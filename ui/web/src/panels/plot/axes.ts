/** What uPlot's axes look like in the theme that is on. */
import uPlot from "uplot";

// A const enum of uPlot's, whose names exist only in its declarations.
// eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment
export const LOGARITHMIC: uPlot.Scale.Distr = 3;

export interface Theme {
  readonly axis: uPlot.Axis;
  readonly ink: string;
  /** A colour as a canvas takes it, without variables. */
  readonly colour: (value: string) => string;
}

export function themeOf(host: Element): Theme {
  const style = getComputedStyle(host);
  const ink = style.getPropertyValue("--text-2").trim();
  const rule = { stroke: style.getPropertyValue("--line").trim(), width: 1 };
  return {
    ink,
    axis: { stroke: ink, grid: rule, ticks: rule, font: "11px Inter" },
    colour: (value) => value.replace("var(--curve-l)", style.getPropertyValue("--curve-l").trim()),
  };
}
