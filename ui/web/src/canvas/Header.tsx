/** The head of a node or zone: its name, its type, how it fares in the run. */
import {
  Check,
  ChevronDown,
  ChevronRight,
  CircleAlert,
  Clock,
  CornerDownRight,
  EyeOff,
  Zap,
} from "lucide-react";
import { memo, useState } from "react";
import { useShallow } from "zustand/react/shallow";
import { titleOf, type Card } from "../document/cards";
import { heldIn, type Id } from "../document/document";
import { NO_NAME, nameTyped } from "../document/naming";
import { useEditor } from "../state/editor";
import { useProfile } from "../state/profile";
import { useProblems } from "../state/validation";
import { useRuns } from "../state/runs";
import type { NodeRun } from "../state/runView";
import { seenProfile, seenRun } from "../state/seen";
import { say } from "../state/ui";
import { enterUse, renameNode, toggleCollapsed } from "../commands";
import { clock, pace } from "../drawing/format";
import { shareOf } from "../drawing/profile";
import { useNow } from "./useNow";

export const Header = memo(function Header({ card }: { card: Card }) {
  const run = useRuns((state) => seenRun(state.view).nodes[card.id]);
  // What a zone is for, as its card says it from afar.
  const note = useEditor((state) => (card.isZone ? state.doc.places[card.id]?.text?.trim() : undefined));
  const foldable = card.isZone || card.inputs.length > 0 || card.outputs.length > 0;
  return (
    <header className="head">
      <span className="stripe" aria-hidden />
      {foldable ? (
        <button
          className="fold nodrag"
          aria-label={card.collapsed ? `Expand ${card.id}` : `Collapse ${card.id}`}
          onClick={() => toggleCollapsed([card.id])}
        >
          {card.collapsed ? <ChevronRight size={13} /> : <ChevronDown size={13} />}
        </button>
      ) : null}
      <Title id={card.id} />
      {note && !card.collapsed ? (
        <span className="type" data-tip={`text|${note}`}>
          {note}
        </span>
      ) : card.collapsed || titleOf(card.id) === titleOf(card.type) ? null : (
        <span className="type" data-tip={`node|${card.id}`}>
          {titleOf(card.type)}
        </span>
      )}
      <span className="grow" />
      {card.mode === "run" ? null : (
        <span className="badge">
          <EyeOff size={11} /> {card.mode === "mute" ? "muted" : "bypassed"}
        </span>
      )}
      <EnterButton card={card} />
      {card.isZone && card.collapsed ? <Hidden card={card} /> : null}
      {run ? <Fare run={run} /> : null}
      <Share id={card.id} />
      {run?.state === "running" && run.total > 0 ? (
        <progress className="bar" value={run.done} max={run.total} aria-label={`Progress of ${card.id}`} />
      ) : run?.state === "running" ? (
        <span className="bar endless" role="progressbar" aria-label={`${card.id} is running`} />
      ) : null}
    </header>
  );
});

/** The way into what a node is a use of. */
function EnterButton({ card }: { card: Card }) {
  const isUse = useEditor((state) => Object.hasOwn(state.doc.definitions, card.type));
  if (!isUse) return null;
  return (
    <button
      className="fold nodrag"
      aria-label={`Open the definition of ${card.id}`}
      data-tip="text|Open the definition; a double click does it too"
      data-shortcut="Open the definition of the selected use"
      onClick={() => enterUse(card.id)}
    >
      <CornerDownRight size={13} />
    </button>
  );
}

/** What a collapsed zone hides: how many nodes, and whether something is wrong with them. */
function Hidden({ card }: { card: Card }) {
  const held = useEditor(useShallow((state) => heldIn(state.doc, card.id)));
  const wrong = useProblems((state) => held.some((id) => state.byNode.has(id)));
  return (
    <span className={`badge${wrong ? " wrong" : ""}`}>
      {card.count} inside{wrong ? " !" : ""}
    </span>
  );
}

/** How a node fares: waiting, running with its step and rate, cached, done, failed. */
export function Fare({ run }: { run: NodeRun }) {
  switch (run.state) {
    case "waiting":
      return (
        <span className="fare waiting" data-tip="text|Waiting">
          <Clock size={12} aria-label="waiting" />
        </span>
      );
    case "running":
      return (
        <span className="fare running">
          {run.total > 0 ? (
            <>
              <b>{run.done}</b>
              <span className="of"> / {run.total}</span>
              {run.rate > 0 ? <span className="rate">{pace(run.rate)}</span> : null}
            </>
          ) : (
            <Since since={run.since} />
          )}
        </span>
      );
    case "cached":
      return (
        <span className="fare cached" data-tip="text|Taken from the cache">
          <Zap size={12} aria-label="cached" /> cached
        </span>
      );
    case "done":
      return (
        <span className="fare done">
          <Check size={12} aria-label="done" /> {run.seconds === null ? "" : clock(run.seconds)}
        </span>
      );
    case "failed":
      return (
        <span className="fare failed">
          <CircleAlert size={12} aria-label="failed" /> failed
        </span>
      );
    case null:
      return null;
  }
}

/** The share of the run that a node took, where the run measured it. */
function Share({ id }: { id: Id }) {
  const share = useProfile(({ profile }) => shareOf(profile && seenProfile(profile), id));
  const calls = useProfile(({ profile }) => (profile && seenProfile(profile).nodes[id]?.calls) ?? 0);
  if (share === null) return null;
  const percent = share < 0.01 ? "< 1 %" : `${Math.round(100 * share)} %`;
  return (
    <>
      <span className="share" data-tip={`text|${percent} of the run, in ${calls.toLocaleString("en")} calls`}>
        {percent}
      </span>
      <i className="heat" style={{ width: `${100 * share}%` }} aria-hidden />
    </>
  );
}

/** Seconds since a node began, as they pass. */
function Since({ since }: { since: number }) {
  const now = useNow(true);
  return <>{clock(Math.max(0, now - since))}</>;
}

function Title({ id }: { id: string }) {
  const [editing, setEditing] = useState(false);
  if (!editing) {
    return (
      <span className="title" data-tip={`node|${id}`} onDoubleClick={() => setEditing(true)}>
        {titleOf(id)}
      </span>
    );
  }
  const finish = (text: string) => {
    setEditing(false);
    if (text.trim() === "") return;
    const wanted = nameTyped(text);
    if (wanted === null) say(NO_NAME, "bad");
    else if (wanted !== id) renameNode(id, wanted);
  };
  return (
    <input
      className="inline-name nodrag"
      autoFocus
      aria-label="Name of the node"
      defaultValue={titleOf(id)}
      onFocus={(event) => event.target.select()}
      onBlur={(event) => finish(event.target.value)}
      onKeyDown={(event) => {
        event.stopPropagation();
        if (event.key === "Enter") finish(event.currentTarget.value);
        if (event.key === "Escape") setEditing(false);
      }}
    />
  );
}
