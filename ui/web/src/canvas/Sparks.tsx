/** Curves in miniature, on the node that reports them. */
import { memo } from "react";
import type { Curve } from "../state/runView";
import { curveColour } from "../drawing/curves";

const WIDTH = 200;
const HEIGHT = 56;
const POINTS = 160;

export const Sparks = memo(function Sparks({ curves }: { curves: Readonly<Record<string, Curve>> }) {
  const names = Object.keys(curves);
  return (
    <div className="sparks">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden>
        {names.map((name, i) => {
          const curve = curves[name];
          return curve ? (
            <polyline
              key={name}
              points={line(curve)}
              style={{ stroke: curveColour(i) }}
              vectorEffect="non-scaling-stroke"
            />
          ) : null;
        })}
      </svg>
      <ul>
        {names.slice(0, 6).map((name, i) => (
          <li key={name}>
            <i style={{ background: curveColour(i) }} />
            <span>{name}</span>
            <b>{last(curves[name])}</b>
          </li>
        ))}
      </ul>
    </div>
  );
});

/** Each curve has its own scale: what matters here is its shape. */
function line(curve: Curve): string {
  const points = curve.turns
    .map((turn, i) => [turn, curve.values[i]] as const)
    .filter((point): point is readonly [number, number] => typeof point[1] === "number");
  if (points.length === 0) return "";
  const step = Math.max(1, Math.floor(points.length / POINTS));
  const thin = points.filter((_, i) => i % step === 0 || i === points.length - 1);
  // The first values of a training dwarf the rest: the scale fits all but the highest few.
  const sorted = thin.map(([, value]) => value).sort((a, b) => a - b);
  const low = sorted[0] ?? 0;
  const high = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * 0.97))] ?? 1;
  const first = thin[0]?.[0] ?? 0;
  const span = (thin.at(-1)?.[0] ?? 1) - first || 1;
  return thin
    .map(([turn, value]) => {
      const y = HEIGHT - 3 - ((Math.min(value, high) - low) / (high - low || 1)) * (HEIGHT - 6);
      return `${(((turn - first) / span) * WIDTH).toFixed(1)},${y.toFixed(1)}`;
    })
    .join(" ");
}

function last(curve: Curve | undefined): string {
  const value = curve?.values.at(-1);
  return typeof value === "number" ? String(Number(value.toPrecision(4))) : "–";
}
