/** Which type: for a node that gets another, and for a zone around nodes. Those that keep the most come first. */
import { titleOf } from "../document/cards";
import { swapsFor } from "../document/swapping";
import { wrap, wrappable } from "../document/zones";
import { swapType, wrapInZone } from "../commands";
import { categoryHue } from "../drawing/colours";
import type { NodeSpec } from "../server/types";
import { useEditor } from "../state/editor";
import { useUi, type Choosing } from "../state/ui";
import { Chooser } from "./Chooser";
import { holds } from "./search";

interface Choice {
  readonly spec: NodeSpec;
  /** What becomes of the wires, in words. */
  readonly note: string;
}

export function TypeChooser() {
  const choosing = useUi((state) => state.choosing);
  return choosing ? <Types choosing={choosing} /> : null;
}

function Types({ choosing }: { choosing: Choosing }) {
  const choices = choosing.kind === "swap" ? swaps(choosing.id) : wraps(choosing.ids);
  const swapping = choosing.kind === "swap";
  return (
    <Chooser<Choice>
      label={swapping ? `Another type for ${titleOf(choosing.id)}` : "A zone around the selection"}
      placeholder={swapping ? "Change to…" : "Wrap in…"}
      empty={swapping ? "No other type fits these wires" : "There is no zone like that"}
      find={(query) =>
        choices.filter(({ spec }) => holds(`${spec.type} ${spec.category} ${spec.summary}`, query))
      }
      keyOf={({ spec }) => spec.type}
      close={() => useUi.setState({ choosing: null })}
      pick={({ spec }) => (swapping ? swapType(choosing.id, spec.type) : wrapInZone(spec.type, choosing.ids))}
    >
      {({ spec, note }) => ({
        hue: categoryHue(spec.category),
        body: (
          <>
            <b>{titleOf(spec.type)}</b>
            <span>{[note, spec.summary].filter(Boolean).join(" · ")}</span>
          </>
        ),
      })}
    </Chooser>
  );
}

function swaps(id: string): Choice[] {
  const { doc, kinds } = useEditor.getState();
  return swapsFor(doc, kinds, id).map(({ spec, kept, of }) => ({
    spec,
    note: of === 0 ? "" : kept === of ? "keeps all wires" : `keeps ${kept} of ${of} wires`,
  }));
}

function wraps(ids: readonly string[]): Choice[] {
  const { doc, kinds } = useEditor.getState();
  const members = wrappable(doc, ids);
  if (members.length === 0) return [];
  return Object.values(kinds.catalog.nodes)
    .flatMap((spec) =>
      spec.body ? [{ spec, lost: wrap(doc, kinds, members, spec, [0, 0]).lost.length }] : [],
    )
    .sort((a, b) => a.lost - b.lost || Number(a.spec.loops) - Number(b.spec.loops))
    .map(({ spec, lost }) => ({
      spec,
      note: lost === 0 ? "keeps all wires" : lost === 1 ? "one wire comes off" : `${lost} wires come off`,
    }));
}
