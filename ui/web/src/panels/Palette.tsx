/** The palette: nodes, pieces of graphs, found by typing; filtered to what fits when a wire is loose. */
import { useEffect, useMemo } from "react";
import { add, addBlueprint, addInside, pasteText } from "../commands";
import { loadBlueprints, specOf, useBlueprints } from "../commands/blueprints";
import { titleOf } from "../document/cards";
import { slotAt } from "../document/rules";
import { saying } from "../document/types";
import { reaches } from "../document/uses";
import { categoryHue, wireColour } from "../drawing/colours";
import { selectedIds, useEditor } from "../state/editor";
import { useUi, type PaletteAt } from "../state/ui";
import { useUsage } from "../state/usage";
import { t } from "../strings";
import { Chooser } from "./Chooser";
import { keyOf, offers, type Offer } from "./offers";
import { inside } from "./place";

export function Palette() {
  const at = useUi((state) => state.palette);
  return at ? <Open key={at.screen.join()} at={at} /> : null;
}

const close = () => useUi.setState({ palette: null });

function Open({ at }: { at: PaletteAt }) {
  const catalog = useEditor((state) => state.catalog);
  const kinds = useEditor((state) => state.kinds);
  const doc = useEditor((state) => state.doc);
  const { usage, templates } = useUsage();
  const { loose, zone } = at;
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
  const selected = selectedIds()[0] ?? null;
  const wish = { doc, zone, loose, kind, slot: slot?.port, selected };
  const heads = { next: t("often next"), used: t("often used"), templates: t("templates") };
  const take = (offer: Offer) => {
    if (offer.what === "template") return void pasteText(offer.template.text, at.sheet, zone, false);
    if (offer.what === "inside")
      return void addInside(offer.zone.type, offer.spec.type, at.sheet, zone, offer.params);
    const blueprint = brought.get(offer.spec);
    if (blueprint) addBlueprint(blueprint, at.sheet, zone, loose, at.into);
    else add(offer.spec.type, at.sheet, zone, loose, at.into, offer.params);
  };
  return (
    <Chooser
      label={t("Search nodes")}
      placeholder={
        kind
          ? t("Nodes for {what}…", { what: saying(kind) })
          : t("Nodes, templates, what other programs call them…")
      }
      find={(query) => offers(catalog, specs, usage, templates, wish, query, heads)}
      keyOf={keyOf}
      pick={take}
      close={close}
      empty={t("Nothing fits")}
      style={inside(at.screen, [420, 440])}
      mark={kind ? <i className="dot" style={{ background: wireColour(catalog, kind.name) }} /> : null}
    >
      {(offer) => ({
        ...(offer.head ? { head: offer.head } : {}),
        hue: categoryHue(offer.what === "template" ? "" : offer.spec.category),
        body: <Line offer={offer} />,
      })}
    </Chooser>
  );
}

function Line({ offer }: { offer: Offer }) {
  if (offer.what === "template")
    return (
      <>
        <b>{offer.template.title}</b>
        <span>{offer.template.about}</span>
      </>
    );
  return (
    <>
      <b>{titleOf(offer.spec.type)}</b>
      <span>
        {offer.what === "inside"
          ? t("inside a new {zone}", { zone: titleOf(offer.zone.type) })
          : offer.spec.summary}
      </span>
      {offer.by ? <i className="by">{offer.by}</i> : null}
    </>
  );
}
