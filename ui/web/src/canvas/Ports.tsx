/** The lines of a card: ports in pairs, parameters as widgets. One component for nodes and for both rails of a zone. */
import { memo, useState } from "react";
import type { Id } from "../document/document";
import { renameWire } from "../document/wires";
import type { InSlot, OutSlot } from "../document/slots";
import { edit, useEditor } from "../state/editor";
import { useProblems } from "../state/validation";
import type { Problem } from "../server/types";
import { Parameter } from "../widgets/Parameter";
import { useUi, type MenuItem } from "../state/ui";
import { linesOf, type Line } from "./geometry";
import { parameterItems, portItems } from "./menus";
import { Socket } from "./Socket";

interface Props {
  node: Id;
  left: readonly InSlot[];
  right: readonly OutSlot[];
}

export const Ports = memo(function Ports({ node, left, right }: Props) {
  const asPorts = useEditor((state) => state.asPorts);
  const problems = useProblems((state) => state.byNode.get(node));
  const lines = linesOf(left, right, (handle) => asPorts.has(`${node}.${handle}`));
  return (
    <div className="ports">
      {lines.map((line) => (
        <PortLine
          key={`${line.left?.handle ?? ""}|${line.right?.handle ?? ""}`}
          node={node}
          line={line}
          problems={problems}
        />
      ))}
    </div>
  );
});

const problemAt = (problems: readonly Problem[] | undefined, slot: InSlot): Problem | undefined =>
  problems?.find(
    (problem) =>
      problem.port === slot.handle || (problem.port !== "" && problem.port === slot.port.name && !slot.name),
  );

function PortLine({
  node,
  line,
  problems,
}: {
  node: Id;
  line: Line;
  problems: readonly Problem[] | undefined;
}) {
  const { left, right, widget } = line;
  const problem = left && problemAt(problems, left);
  const mark = problem ? ` ${problem.severity}` : "";
  if (left && widget) {
    return (
      <div
        className={`line param${mark}`}
        data-handle={left.handle}
        onContextMenu={(event) => openMenu(event, parameterItems(node, left))}
      >
        <Socket node={node} slot={left} side="in" />
        <Parameter node={node} slot={left} />
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
          <Socket node={node} slot={left} side="in" />
          <PortName node={node} slot={left} />
          {problem ? <Mark problem={problem} /> : null}
        </div>
      ) : null}
      {right ? (
        <div className="port right">
          <span className="port-name" data-tip={`port|${node}|${right.handle}`}>
            {right.label}
          </span>
          <Socket node={node} slot={right} side="out" />
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
  if (!slot.name || slot.adds) {
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
    if (clean && clean !== slot.name)
      edit("Rename a port", (doc) =>
        renameWire(doc, useEditor.getState().kinds.specs, node, slot.handle, clean),
      );
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
