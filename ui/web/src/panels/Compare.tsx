/** Two runs side by side: what differs in their graphs, their pictures, their curves. */
import { Suspense, useEffect, useMemo, useState } from "react";
import { clock } from "../drawing/format";
import { api, fileUrl } from "../server/api";
import type { Output, RunDetail, Series } from "../server/types";
import { sayError, useUi } from "../state/ui";
import { CurvePlot } from "./Chart";
import { curveColour } from "../drawing/curves";
import { Frame } from "./Frame";
import { differences } from "./flatten";

interface Side {
  detail: RunDetail;
  outputs: Output[];
  series: Series[];
}

export function CompareDialog() {
  const compared = useUi((state) => state.compared);
  const [sides, setSides] = useState<Side[]>([]);
  useEffect(() => {
    let current = true;
    const loads = compared.map(async (run) => {
      const [detail, outputs, series] = await Promise.all([api.run(run), api.outputs(run), api.metrics(run)]);
      return { detail, outputs, series };
    });
    Promise.all(loads).then((found) => current && setSides(found), sayError);
    return () => {
      current = false;
    };
  }, [compared]);
  const [a, b] = sides;
  return (
    <Frame title={`Runs ${compared.join(" and ")}`} wide>
      {a && b ? <Both a={a} b={b} /> : <p className="quiet">…</p>}
    </Frame>
  );
}

function Both({ a, b }: { a: Side; b: Side }) {
  const found = useMemo(() => differences(a.detail.text, b.detail.text), [a, b]);
  const nodes = [
    ...new Set(
      [...a.outputs, ...b.outputs]
        .filter((output) => output.media.startsWith("image/"))
        .map((output) => output.node),
    ),
  ];
  const names = [...new Set([...a.series, ...b.series].map((series) => `${series.node} ${series.name}`))];
  const lines = useMemo(
    () =>
      [a, b].flatMap((side, i) =>
        side.series.map((series) => ({
          label: `${series.node} ${series.name} · #${side.detail.run}`,
          curve: series,
          colour: curveColour(names.indexOf(`${series.node} ${series.name}`)),
          dash: i === 1,
        })),
      ),
    // eslint-disable-next-line react-hooks/exhaustive-deps
    [a, b],
  );
  const heads = [a, b].map((side) => (
    <th key={side.detail.run} scope="col">
      #{side.detail.run} · {side.detail.status}
      {side.detail.started !== null && side.detail.ended !== null
        ? ` · ${clock(side.detail.ended - side.detail.started)}`
        : ""}
    </th>
  ));
  return (
    <div className="compare">
      <table className="compare-table">
        <thead>
          <tr>
            <th scope="col">{found.length === 0 ? "The graphs are the same" : "What differs"}</th>
            {heads}
          </tr>
        </thead>
        <tbody>
          {found.map((difference) => (
            <tr key={difference.what}>
              <th scope="row">{difference.what}</th>
              <td>{difference.before}</td>
              <td>{difference.after}</td>
            </tr>
          ))}
          {nodes.map((node) => (
            <tr key={node} className="compare-pictures">
              <th scope="row">{node}</th>
              {[a, b].map((side) => {
                const last = side.outputs
                  .filter((output) => output.node === node && output.media.startsWith("image/"))
                  .at(-1);
                return (
                  <td key={side.detail.run}>
                    {last ? <img src={fileUrl(last.path)} alt={`${node} of run ${side.detail.run}`} /> : "–"}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
      {lines.length > 0 ? (
        <Suspense fallback={null}>
          <CurvePlot lines={lines} weight={0.6} log={false} height={280} />
        </Suspense>
      ) : null}
    </div>
  );
}
