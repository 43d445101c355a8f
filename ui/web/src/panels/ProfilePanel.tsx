/** What a run took, node by node: a table in which the longest comes first, and the file of its moments. */
import { Download, Timer } from "lucide-react";
import { useState } from "react";
import { titleOf } from "../document/cards";
import { bytes, clock, spent } from "../drawing/format";
import { rowsOf, type Measure } from "../drawing/profile";
import type { NodeProfile, Profile } from "../server/types";
import { isThere, reveal } from "../state/seen";
import { useProfile } from "../state/profile";
import { isLive } from "../state/runAge";
import { submit, useRuns } from "../state/runs";
import { Chip } from "../widgets/Chip";

export function ProfilePanel() {
  const { run, profile, error } = useProfile();
  const measuring = useRuns(({ view, runs }) => {
    const shown = view.run === null ? undefined : runs[view.run];
    return shown !== undefined && shown.profile && isLive(shown);
  });
  return (
    <div className="profile">
      <p className="cost-about">
        A run that measures its nodes tells what each took, in all of its steps. It computes the same, a
        little slower.
      </p>
      <div className="profile-actions">
        <button className="small-button" onClick={() => void submit({ profile: true })}>
          <Timer size={13} aria-hidden /> Run and measure
        </button>
        {profile?.trace ? (
          <a className="small-button" href={profile.trace} download={`run-${run}-trace.json`}>
            <Download size={13} aria-hidden /> Trace for Perfetto
          </a>
        ) : null}
      </div>
      {error ? <p className="cost-error">{error}</p> : null}
      {profile ? (
        <Measured profile={profile} run={run} />
      ) : error ? null : (
        <p className="quiet">
          {measuring ? "The run that is shown is being measured." : "The run that is shown was not measured."}
        </p>
      )}
    </div>
  );
}

const MEASURES: readonly (readonly [Measure, string])[] = [
  ["own", "Own time"],
  ["all", "With its inside"],
  ["memory", "Memory"],
];

function Measured({ profile, run }: { profile: Profile; run: number | null }) {
  const [measure, setMeasure] = useState<Measure>("own");
  return (
    <>
      <p className="profile-sum">
        Run {run}: <b>{clock(profile.seconds)}</b> in {Object.keys(profile.nodes).length} nodes
      </p>
      <div className="chips" role="group" aria-label="Sorted by">
        {MEASURES.map(([key, label]) => (
          <Chip key={key} isOn={measure === key} run={() => setMeasure(key)}>
            {label}
          </Chip>
        ))}
      </div>
      {measure === "memory" && profile.memory_of ? (
        <p className="profile-sum">The most by which {profile.memory_of} grew in one call.</p>
      ) : null}
      <ul className="cost-list">
        {rowsOf(profile, measure).map(({ id, node, share }) => {
          return (
            <li key={id}>
              <button disabled={!isThere(id)} onClick={() => reveal(id)}>
                <span className="cost-name">{id.split("/").map(titleOf).join(" / ")}</span>
                <span className="cost-flops">{told(node, measure)}</span>
                <span className="cost-more">{more(node, measure)}</span>
                <i className="cost-bar" style={{ width: `${100 * share}%` }} />
              </button>
            </li>
          );
        })}
      </ul>
    </>
  );
}

const told = (node: NodeProfile, measure: Measure): string =>
  measure === "memory" ? bytes(node.memory) : spent(measure === "own" ? node.own_seconds : node.seconds);

const more = (node: NodeProfile, measure: Measure): string =>
  [
    `${node.calls.toLocaleString("en")} ${node.calls === 1 ? "call" : "calls"}`,
    ...(measure !== "own" || node.own_seconds === node.seconds
      ? []
      : [`${spent(node.seconds)} with its inside`]),
    ...(measure === "memory" ? [spent(node.own_seconds)] : [bytes(node.memory)]),
    ...(node.device_seconds === null ? [] : [`${spent(node.device_seconds)} on the device`]),
  ].join(" · ");
