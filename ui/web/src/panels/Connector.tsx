/** Drawing a wire by keyboard: every wire that a node could have, found by typing. */
import { ArrowRight } from "lucide-react";
import { useState } from "react";
import { possibleWires } from "../canvas/wiring";
import { connectWire } from "../commands";
import { titleOf } from "../document/cards";
import { sourceHandle } from "../document/references";
import { useUi } from "../state/ui";
import { Chooser } from "./Chooser";
import { holds } from "./search";

const MOST = 200;

/** A port as lists of wires say it. */
export const portName = (handle: string): string =>
  handle.replace(/^(out|inner):/, "").replace(/\.?\+$/, " (new)");

export function Connector() {
  const node = useUi((state) => state.connector);
  return node ? <Open key={node} node={node} /> : null;
}

function Open({ node }: { node: string }) {
  // The document does not change while this is open.
  const [wires] = useState(() =>
    possibleWires(node).map((wire) => ({
      ...wire,
      from: `${titleOf(wire.source.node)} · ${portName(sourceHandle(wire.source))}`,
      to: `${titleOf(wire.target)} · ${portName(wire.handle)}`,
    })),
  );
  return (
    <Chooser
      label={`Connect ${titleOf(node)} with`}
      placeholder={`Connect ${titleOf(node)} with…`}
      find={(query) => wires.filter(({ from, to }) => holds(`${from} ${to}`, query)).slice(0, MOST)}
      keyOf={(wire) => wire.from + wire.to}
      pick={({ source, target, handle, bend }) =>
        connectWire(source, { node: target, handle }, null, bend ?? null)
      }
      close={() => useUi.setState({ connector: null })}
      empty="No wire fits"
    >
      {(wire) => ({
        body: (
          <>
            <b>{wire.from}</b>
            <ArrowRight size={12} aria-label="to" />
            <b>{wire.to}</b>
          </>
        ),
      })}
    </Chooser>
  );
}
