/** The palette: every node, found by typing; filtered to what fits when a wire is loose. */
import { useEffect, useMemo } from "react";
import { add, addBlueprint } from "../commands";
import { loadBlueprints, specOf, useBlueprints } from "../commands/blueprints";
import { categoryHue, wireColour } from "../drawing/colours";
import { titleOf } from "../document/cards";
import { slotAt } from "../document/rules";
import { reaches } from "../document/uses";
import { useEditor } from "../state/editor";
import { useUi, type PaletteAt } from "../state/ui";
import { Chooser } from "./Chooser";
import { inside } from "./place";
import { fitOf, search, type Found } from "./search";

export function Palette() {
  const at = useUi((state) => state.palette);
  return at ? <Open key={at.screen.join()} at={at} /> : null;
}

const close = () => useUi.setState({ palette: null });

function Open({ at }: { at: PaletteAt }) {
  const catalog = useEditor((state) => state.catalog);
  const kinds = useEditor((state) => state.kinds);
  const doc = useEditor((state) => state.doc);
  const { loose } = at;
  const slot = loose?.side === "target" ? slotAt(doc, kinds, loose.node, loose.handle) : undefined;
  const kind =
    loose === null ? null : loose.side === "source" ? kinds.of(doc, loose.source) : (slot?.kind ?? null);
  const blueprints = useBlueprints((state) => state.all);
  useEffect(() => void loadBlueprints(), []);
  const brought = useMemo(
    () => new Map(blueprints.flatMap((own) => (specOf(own) ? [[specOf(own), own] as const] : []))),
    [blueprints],
  );
  const specs = useMemo(() => {
    // A definition is no part of itself.
    const names = Object.keys(doc.definitions).filter((name) => !reaches(doc, name, doc.within ?? ""));
    const own = names.flatMap((name) => kinds.specs(doc)(name) ?? []);
    return [...Object.values(catalog.nodes), ...own, ...[...brought.keys()].flatMap((spec) => spec ?? [])];
  }, [catalog, doc, kinds, brought]);

  const find = (query: string): readonly Found[] => {
    const all = search(specs, query);
    if (!loose) return all;
    return all
      .map((item) => ({ item, fit: fitOf(catalog, item.spec, kind, loose.side, slot?.port) }))
      .filter(({ fit }) => fit > 0)
      .sort((a, b) => b.fit - a.fit || b.item.score - a.item.score)
      .map(({ item }) => item);
  };
  return (
    <Chooser
      label="Search nodes"
      placeholder={
        kind
          ? `Nodes for ${"lists of ".repeat(kind.many)}${kind.name}…`
          : "Search nodes, types, descriptions…"
      }
      find={find}
      keyOf={({ spec }) => `${spec.category} ${spec.type}`}
      pick={({ spec }) => {
        const blueprint = brought.get(spec);
        if (blueprint) addBlueprint(blueprint, at.sheet, at.zone, loose, at.into);
        else add(spec.type, at.sheet, at.zone, loose, at.into);
      }}
      close={close}
      empty="Nothing fits"
      style={inside(at.screen, [420, 440])}
      mark={kind ? <i className="dot" style={{ background: wireColour(catalog, kind.name) }} /> : null}
    >
      {({ spec }, i, query) => ({
        ...(query === "" && !loose && spec.category !== specs[i - 1]?.category
          ? { head: spec.category }
          : {}),
        hue: categoryHue(spec.category),
        body: (
          <>
            <b>{titleOf(spec.type)}</b>
            <span>{spec.summary}</span>
          </>
        ),
      })}
    </Chooser>
  );
}
