/** What uPlot's axes look like in the theme that is on. */
import uPlot from "uplot";
import { logTicks } from "../../drawing/plots";

// A const enum of uPlot's, whose names exist only in its declarations.
// eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment
const LOGARITHMIC: uPlot.Scale.Distr = 3;
export const LOG_SCALE: uPlot.Scale = { distr: LOGARITHMIC, log: 10 };
const APART = 20; // pixels from a number on an axis to the next one above
export const LOG_AXIS: uPlot.Axis = {
  splits: ({ bbox }, _axis, low, high) => logTicks(low, high, bbox.height / uPlot.pxRatio / APART),
  filter: (_chart, places) => places, // each line has its number
};

/** All figures that are not the arithmetic's: from close by, fewer do not tell two places apart. A power where that is shorter. */
function numberOf(place: number): string {
  const plain = String(Number(place.toPrecision(12)));
  const power = Number(plain).toExponential().replace("+", "");
  return plain.length > LONG && power.length < plain.length ? power : plain;
}
const LONG = 7; // letters

export interface Theme {
  readonly axis: uPlot.Axis;
  /** A colour as a canvas takes it, without variables. */
  readonly colour: (value: string) => string;
}

export function themeOf(host: Element): Theme {
  const style = getComputedStyle(host);
  const stroke = style.getPropertyValue("--text-2").trim();
  const rule = { stroke: style.getPropertyValue("--line").trim(), width: 1 };
  return {
    axis: {
      stroke,
      grid: rule,
      ticks: rule,
      font: "11px Inter",
      values: (_chart, places) =>
        places.map((place: number | null) => (place === null ? "" : numberOf(place))),
    },
    colour: (value) => value.replace("var(--curve-l)", style.getPropertyValue("--curve-l").trim()),
  };
}
