/** The wires of a node, for choosing one by keyboard: it is selected, and Delete takes it out. */
import { ArrowRight } from "lucide-react";
import { titleOf } from "../document/cards";
import { halves } from "../document/document";
import { selectWire, useEditor } from "../state/editor";
import { useUi } from "../state/ui";
import { t } from "../strings";
import { Chooser } from "./Chooser";
import { portName } from "./Connector";
import { holds } from "./search";

export function WireList() {
  const node = useUi((state) => state.wiresOf);
  const edges = useEditor((state) => state.edges);
  if (node === null) return null;
  const own = edges
    .filter((edge) => edge.source === node || edge.target === node)
    .map((edge) => {
      const from = `${titleOf(edge.source)} · ${portName(edge.sourceHandle ?? "")}`;
      return { id: edge.id, from, to: `${titleOf(edge.target)} · ${halves(edge.id)[1]}` };
    });
  return (
    <Chooser
      label={t("Wires of {node}", { node: titleOf(node) })}
      placeholder={t("Wires of {node}", { node: titleOf(node) })}
      find={(query) => own.filter(({ from, to }) => holds(`${from} ${to}`, query))}
      keyOf={({ id }) => id}
      pick={({ id }) => selectWire(id)}
      close={() => useUi.setState({ wiresOf: null })}
      empty={t("No wire")}
    >
      {({ from, to }) => ({
        body: (
          <>
            <b>{from}</b>
            <ArrowRight size={12} aria-label="to" />
            <b>{to}</b>
          </>
        ),
      })}
    </Chooser>
  );
}
