/** The plots of one picture, beside each other as there; many in rows, so that each stays wide enough to be read. */
import type { CSSProperties } from "react";
import type { Plot } from "../../server/types";
import "../../style/plots.css";
import { PlotChart } from "./PlotChart";

export default function Plots({ plots }: { plots: readonly Plot[] }) {
  const across = plots.length <= 3 ? plots.length : Math.ceil(Math.sqrt(plots.length));
  return (
    <div className="plots" style={{ "--across": across } as CSSProperties}>
      {plots.map((plot, i) => (
        <PlotChart key={i} plot={plot} />
      ))}
    </div>
  );
}
