/** Drawing a wire by keyboard: every wire that a node could have, found by typing. */
import { ArrowRight } from "lucide-react";
import { useEffect, useMemo, useRef, useState } from "react";
import { possibleWires } from "../canvas/wiring";
import { titleOf } from "../document/cards";
import { connect } from "../document/wires";
import { sourceHandle } from "../document/references";
import { edit, useEditor } from "../state/editor";
import { useUi } from "../state/ui";

const portName = (handle: string): string => handle.replace(/^(out|inner):/, "").replace(/\.?\+$/, " (new)");

export function Connector() {
  const node = useUi((state) => state.connector);
  return node ? <Open node={node} /> : null;
}

function Open({ node }: { node: string }) {
  const doc = useEditor((state) => state.doc);
  const [query, setQuery] = useState("");
  const [chosen, setChosen] = useState(0);
  const list = useRef<HTMLUListElement>(null);
  const close = () => useUi.setState({ connector: null });
  // The choices follow from the document, which does not change while this is open.
  const wires = useMemo(
    () =>
      possibleWires(node).map((wire) => ({
        ...wire,
        from: `${titleOf(wire.source.node)} · ${portName(sourceHandle(wire.source))}`,
        to: `${titleOf(wire.target)} · ${portName(wire.handle)}`,
      })),
    // eslint-disable-next-line react-hooks/exhaustive-deps
    [node, doc],
  );
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const found = wires
    .filter((wire) => words.every((word) => `${wire.from} ${wire.to}`.toLowerCase().includes(word)))
    .slice(0, 200);
  const pick = (wire: (typeof wires)[number] | undefined) => {
    if (wire)
      edit("Connect", () => connect(useEditor.getState().kinds, wire.source, wire.target, wire.handle));
    close();
  };
  useEffect(() => {
    list.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  }, [chosen, query]);
  return (
    <>
      <div className="veil" onPointerDown={close} />
      <div className="palette centred" role="dialog" aria-label={`Connect ${node}`}>
        <label className="palette-query">
          <input
            autoFocus
            role="combobox"
            aria-expanded="true"
            aria-controls="connector-list"
            aria-activedescendant={found[chosen] ? `connector-${chosen}` : undefined}
            aria-label={`Connect ${node} with`}
            placeholder={`Connect ${titleOf(node)} with…`}
            value={query}
            onChange={(event) => {
              setQuery(event.target.value);
              setChosen(0);
            }}
            onKeyDown={(event) => {
              event.stopPropagation();
              const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
              if (step !== undefined) setChosen(Math.max(0, Math.min(found.length - 1, chosen + step)));
              else if (event.key === "Enter") pick(found[chosen]);
              else if (event.key === "Escape") close();
              else return;
              event.preventDefault();
            }}
          />
        </label>
        <ul ref={list} id="connector-list" role="listbox" aria-label="Wires">
          {found.map((wire, i) => (
            <li
              key={`${wire.from}${wire.to}`}
              id={`connector-${i}`}
              role="option"
              aria-selected={i === chosen}
              className="palette-item wire-item"
              onPointerMove={() => i !== chosen && setChosen(i)}
              onClick={() => pick(wire)}
            >
              <b>{wire.from}</b>
              <ArrowRight size={12} aria-label="to" />
              <b>{wire.to}</b>
            </li>
          ))}
          {found.length === 0 ? <li className="empty">No wire fits</li> : null}
        </ul>
      </div>
    </>
  );
}
