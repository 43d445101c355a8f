/** The plots of one picture, beside each other as there. */
import type { Plot } from "../../server/types";
import "../../style/plots.css";
import { PlotChart } from "./PlotChart";

export default function Plots({ plots }: { plots: readonly Plot[] }) {
  return (
    <div className="plots">
      {plots.map((plot, i) => (
        <PlotChart key={i} plot={plot} />
      ))}
    </div>
  );
}
