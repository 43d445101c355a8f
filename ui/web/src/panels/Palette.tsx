/** The palette: every node, found by typing; filtered to what fits when a wire is loose. */
import { Search } from "lucide-react";
import { useEffect, useMemo, useRef, useState } from "react";
import { titleOf } from "../document/cards";
import { slotAt } from "../document/rules";
import { add } from "../canvas/commands";
import { categoryHue, wireColour } from "../canvas/colours";
import { useEditor } from "../state/editor";
import { useUi, type PaletteAt } from "../state/ui";
import { fitOf, search, type Found } from "./search";
import { inside } from "./place";

export function Palette() {
  const at = useUi((state) => state.palette);
  return at ? <Open key={at.screen.join()} at={at} /> : null;
}

const close = () => {
  useUi.setState({ palette: null });
  document.querySelector<HTMLElement>(".react-flow__pane")?.focus();
};

function Open({ at }: { at: PaletteAt }) {
  const catalog = useEditor((state) => state.catalog);
  const kinds = useEditor((state) => state.kinds);
  const definitions = useEditor((state) => state.doc.definitions);
  const [query, setQuery] = useState("");
  const [chosen, setChosen] = useState(0);
  const list = useRef<HTMLUListElement>(null);
  const { loose } = at;
  const slot = loose?.side === "target" ? slotAt(kinds, loose.node, loose.handle) : undefined;
  const kind =
    loose === null ? null : loose.side === "source" ? kinds.of(loose.source) : (slot?.kind ?? null);

  const found = useMemo(() => {
    const own = Object.keys(definitions).flatMap((name) => kinds.specs(name) ?? []);
    const all = search([...Object.values(catalog.nodes), ...own], query);
    if (!loose) return all;
    const graded = all.map((item) => ({
      item,
      fit: fitOf(catalog, item.spec, kind, loose.side, slot?.port),
    }));
    const fitting = graded.filter(({ fit }) => fit > 0);
    return fitting.sort((a, b) => b.fit - a.fit || b.item.score - a.item.score).map(({ item }) => item);
  }, [catalog, definitions, kinds, query, loose, kind, slot]);

  const pick = (item: Found | undefined) => {
    if (!item) return;
    add(item.spec.type, at.sheet, at.zone, loose);
    close();
  };
  useEffect(() => {
    list.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  }, [chosen, found]);
  const place = inside(at.screen, [420, 440]);
  const current = found[chosen];

  return (
    <>
      <div className="veil clear" onPointerDown={close} />
      <div className="palette" style={place} role="dialog" aria-label="Add a node">
        <label className="palette-query">
          <Search size={14} aria-hidden />
          <input
            autoFocus
            role="combobox"
            aria-expanded="true"
            aria-controls="palette-list"
            aria-activedescendant={current ? `palette-${current.spec.type}` : undefined}
            aria-label="Search nodes"
            placeholder={
              kind
                ? `Nodes for ${kind.many ? "lists of " : ""}${kind.name}…`
                : "Search nodes, types, descriptions…"
            }
            value={query}
            onChange={(event) => {
              setQuery(event.target.value);
              setChosen(0);
            }}
            onKeyDown={(event) => {
              event.stopPropagation();
              const step = {
                ArrowDown: 1,
                ArrowUp: -1,
                PageDown: 8,
                PageUp: -8,
                Tab: event.shiftKey ? -1 : 1,
              }[event.key];
              if (step !== undefined) setChosen(Math.max(0, Math.min(found.length - 1, chosen + step)));
              else if (event.key === "Enter") pick(found[chosen]);
              else if (event.key === "Escape") close();
              else return;
              event.preventDefault();
            }}
          />
          {kind ? <i className="dot" style={{ background: wireColour(catalog, kind.name) }} /> : null}
        </label>
        <ul ref={list} id="palette-list" role="listbox" aria-label="Nodes">
          {found.map((item, i) => {
            const { spec } = item;
            const heads = query === "" && !loose && spec.category !== found[i - 1]?.spec.category;
            return [
              heads ? (
                <li key={`head ${spec.category}`} className="palette-head" role="presentation">
                  {spec.category}
                </li>
              ) : null,
              <li
                key={spec.type}
                id={`palette-${spec.type}`}
                role="option"
                aria-selected={i === chosen}
                className="palette-item"
                style={{ "--hue": categoryHue(spec.category) } as React.CSSProperties}
                onPointerMove={() => i !== chosen && setChosen(i)}
                onClick={() => pick(item)}
              >
                <i className="dot" />
                <b>{titleOf(spec.type)}</b>
                <span>{spec.summary}</span>
              </li>,
            ];
          })}
          {found.length === 0 ? <li className="empty">Nothing fits{query ? ` “${query}”` : ""}</li> : null}
        </ul>
      </div>
    </>
  );
}
