/** What a run would do, before it: operations and shapes of each node, and the memory in all. */
import { Gauge, LoaderCircle } from "lucide-react";
import { Fragment, useEffect } from "react";
import { goTo } from "../state/flow";
import { bytes, large } from "../drawing/format";
import { titleOf } from "../document/cards";
import type { Estimate } from "../server/types";
import { activeDocument, activeOf, useDocuments } from "../state/documents";
import { useEditor } from "../state/editor";
import { ask, tellsOf, useEstimate } from "../state/estimate";
import { t } from "../strings";

export function CostPanel() {
  const { estimate, of, asking, error, devices, shard } = useEstimate();
  const isOld = useDocuments((state) => !tellsOf(of, activeOf(state).history.present));
  useEffect(() => {
    if (!tellsOf(useEstimate.getState().of, activeDocument().history.present)) void ask();
  }, []);
  return (
    <div className="cost">
      <p className="cost-about">
        {t(
          "The graph is gone through on tensors that have a shape and nothing else, each loop once. Nothing is computed.",
        )}
      </p>
      <p className="cost-processes">
        <label>
          {t("Processes")}{" "}
          <input
            type="number"
            min={1}
            value={devices}
            onChange={(event) =>
              useEstimate.setState({ devices: Math.max(1, Math.round(event.target.valueAsNumber) || 1) })
            }
          />
        </label>
        <label data-tip="text|Each holds a part of the weights, gradients, averages and the optimizer's state">
          <input
            type="checkbox"
            checked={shard}
            disabled={devices === 1}
            onChange={(event) => useEstimate.setState({ shard: event.target.checked })}
          />{" "}
          {t("sharded")}
        </label>
      </p>
      <button className="small-button" disabled={asking} onClick={() => void ask()}>
        {asking ? <LoaderCircle size={13} className="spin" aria-hidden /> : <Gauge size={13} aria-hidden />}
        {asking ? t("Going through…") : estimate && isOld ? t("The graph changed: again") : t("Again")}
      </button>
      {error ? <p className="cost-error">{error}</p> : null}
      {estimate ? <Found estimate={estimate} stale={isOld} /> : null}
    </div>
  );
}

function Found({ estimate, stale }: { estimate: Estimate; stale: boolean }) {
  const known = useEditor((state) => state.cards);
  const rows = Object.entries(estimate.nodes)
    .filter(([, node]) => node.flops > 0)
    .sort(([, a], [, b]) => b.flops - a.flops);
  const trains = "gradients" in estimate.parts;
  const parts = trains ? Object.entries(estimate.parts).sort(([, a], [, b]) => b - a) : [];
  return (
    <div className={stale ? "stale" : ""}>
      <dl className="cost-sum">
        <dt>{t("Operations")}</dt>
        <dd>{large(estimate.flops)}FLOP</dd>
        <dt>{t("Memory at most")}</dt>
        <dd>
          {bytes(estimate.memory)}
          {estimate.memory_at ? <small> in {titleOf(estimate.memory_at)}</small> : null}
          {estimate.processes > 1 ? (
            <small>
              , each of {estimate.processes}
              {estimate.sharded ? ", sharded" : ""}
            </small>
          ) : null}
        </dd>
        {parts.map(([name, size]) => (
          <Fragment key={name}>
            <dt className="cost-part">{name}</dt>
            <dd className="cost-part">{bytes(size)}</dd>
          </Fragment>
        ))}
        <dt>{t("Problems")}</dt>
        <dd>{estimate.problems.length || t("none")}</dd>
      </dl>
      <ul className="cost-list">
        {rows.map(([id, node]) => (
          <li key={id}>
            <button disabled={!(id in known)} onClick={() => goTo(id)}>
              <span className="cost-name">{titleOf(id)}</span>
              <span className="cost-flops">{large(node.flops)}</span>
              <span className="cost-more">
                {[
                  ...Object.values(node.gives),
                  ...(node.runs > 1 ? [`${node.runs.toLocaleString("en")} times`] : []),
                ].join(" · ")}
              </span>
              <i className="cost-bar" style={{ width: `${(100 * node.flops) / estimate.flops}%` }} />
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}
