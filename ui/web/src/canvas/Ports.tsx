/** The lines of a card: ports in pairs, parameters as widgets. One component for nodes and for both rails of a zone. */
import { memo, useState } from "react";
import { renamePort } from "../commands";
import type { Id } from "../document/document";
import type { InSlot, OutSlot } from "../document/slots";
import { useEditor } from "../state/editor";
import { useProblems } from "../state/validation";
import type { Catalog, Problem } from "../server/types";
import { Parameter } from "../widgets/Parameter";
import { useUi, type MenuItem } from "../state/ui";
import { wireColour } from "../drawing/colours";
import { linesOf, type Line } from "../drawing/geometry";
import { outputItems, parameterItems, portItems } from "./menus";
import { Socket } from "./Socket";

interface Props {
  node: Id;
  left: readonly InSlot[];
  right: readonly OutSlot[];
  /** Pixels that its texts are taller than usual. */
  room?: number;
}

export const Ports = memo(function Ports({ node, left, right, room = 0 }: Props) {
  const catalog = useEditor((state) => state.catalog);
  const problems = useProblems((state) => state.byNode.get(node));
  const fits = useUi((state) => (state.wiring ? (state.wiring.fits.get(node) ?? NONE) : null));
  return (
    <div className="ports">
      {linesOf(left, right, room).map((line) => (
        <PortLine
          key={`${line.left?.handle ?? ""}${line.second?.handle ?? ""}|${line.right?.handle ?? ""}`}
          node={node}
          line={line}
          problems={problems}
          catalog={catalog}
          fits={fits}
        />
      ))}
    </div>
  );
});

const NONE: ReadonlySet<string> = new Set();

const problemAt = (problems: readonly Problem[] | undefined, slot: InSlot): Problem | undefined =>
  problems?.find(
    (problem) =>
      problem.port === slot.handle || (problem.port !== "" && problem.port === slot.port.name && !slot.name),
  );

interface LineProps {
  node: Id;
  line: Line;
  problems: readonly Problem[] | undefined;
  catalog: Catalog;
  /** While a wire is drawn: the handles that it fits. */
  fits: ReadonlySet<string> | null;
}

function PortLine({ node, line, problems, catalog, fits }: LineProps) {
  const { left, second, right, widget, height } = line;
  const problem = (left && problemAt(problems, left)) ?? (second && problemAt(problems, second));
  const takesNone = fits && !(left && fits.has(left.handle)) && !(right && fits.has(right.handle));
  const mark = (problem ? ` ${problem.severity}` : "") + (takesNone ? " unfit" : "");
  const socket = (slot: InSlot | OutSlot, side: "in" | "out") => (
    <Socket
      node={node}
      slot={slot}
      side={side}
      colour={wireColour(catalog, slot.kind.name)}
      fits={fits && fits.has(slot.handle)}
    />
  );
  if (left && widget) {
    return (
      <div
        className={`line param${second ? " sized" : ""}${mark}`}
        style={{ height }}
        data-handle={left.handle}
        onContextMenu={(event) => openMenu(event, parameterItems(node, left))}
      >
        {socket(left, "in")}
        <Parameter node={node} slot={left} />
        {second ? (
          <>
            <span className="times" aria-hidden>
              ×
            </span>
            <div
              className="second"
              data-handle={second.handle}
              onContextMenu={(event) => openMenu(event, parameterItems(node, second))}
            >
              <Parameter node={node} slot={second} />
            </div>
          </>
        ) : null}
        {problem ? <Mark problem={problem} /> : null}
      </div>
    );
  }
  return (
    <div className={`line${mark}`} data-handle={left?.handle ?? right?.handle}>
      {left ? (
        <div
          className={`port left${left.adds ? " adding" : ""}`}
          onContextMenu={(event) => openMenu(event, portItems(node, left))}
        >
          {socket(left, "in")}
          <PortName node={node} slot={left} />
          {problem ? <Mark problem={problem} /> : null}
        </div>
      ) : null}
      {right ? (
        <div className="port right" onContextMenu={(event) => openMenu(event, outputItems(node, right))}>
          <span className="port-name" data-tip={`port|${node}|${right.handle}`}>
            {right.label}
          </span>
          {socket(right, "out")}
        </div>
      ) : null}
    </div>
  );
}

export function Mark({ problem }: { problem: Problem }) {
  const text = [problem.message, problem.remedy].filter(Boolean).join(". ");
  return (
    <span
      className={`mark ${problem.severity}`}
      role="img"
      aria-label={`${problem.severity}: ${text}`}
      data-tip={`text|${text}`}
    >
      !
    </span>
  );
}

/** A port's name; one that the user gave can be changed. */
function PortName({ node, slot }: { node: Id; slot: InSlot }) {
  const [editing, setEditing] = useState(false);
  const tip = `slot|${node}|${slot.handle}`;
  if (!slot.name || slot.adds || slot.port.names_in) {
    return (
      <span className="port-name" data-tip={tip}>
        {slot.adds ? `+ ${slot.label}` : slot.label}
      </span>
    );
  }
  if (!editing) {
    return (
      <button
        className="port-name given"
        data-tip={tip}
        onDoubleClick={() => setEditing(true)}
        onKeyDown={(event) => event.key === "Enter" && setEditing(true)}
      >
        {slot.label}
      </button>
    );
  }
  const finish = (name: string) => {
    setEditing(false);
    const clean = name.trim();
    if (clean && clean !== slot.name) renamePort({ node, handle: slot.handle }, clean);
  };
  return (
    <input
      className="inline-name nodrag"
      autoFocus
      defaultValue={slot.name}
      aria-label="Name of the port"
      onBlur={(event) => finish(event.target.value)}
      onKeyDown={(event) => {
        event.stopPropagation();
        if (event.key === "Enter") finish(event.currentTarget.value);
        if (event.key === "Escape") setEditing(false);
      }}
    />
  );
}

function openMenu(event: React.MouseEvent, items: readonly (MenuItem | null)[]): void {
  event.preventDefault();
  event.stopPropagation();
  useUi.setState({ menu: { at: [event.clientX, event.clientY], items } });
}
