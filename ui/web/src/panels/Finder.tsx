/** Finding a node of a large graph by its name or type. */
import { categoryHue } from "../drawing/colours";
import { goTo } from "../state/flow";
import { titleOf } from "../document/cards";
import { useEditor } from "../state/editor";
import { useUi } from "../state/ui";
import { Chooser } from "./Chooser";

export function Finder() {
  const open = useUi((state) => state.finder);
  const cards = useEditor((state) => state.cards);
  if (!open) return null;
  return (
    <Chooser
      label="Find a node"
      placeholder="Find a node of this workflow…"
      find={(query) => {
        const words = query.toLowerCase().split(/\s+/).filter(Boolean);
        const text = (id: string, type: string, zone: string | null) =>
          titleOf(`${id} ${type} ${zone ?? ""}`).toLowerCase();
        const name = words.join(" ");
        const rank = (id: string) => {
          const title = titleOf(id).toLowerCase();
          return title === name ? 0 : title.startsWith(name) ? 1 : title.includes(name) ? 2 : 3;
        };
        return Object.values(cards)
          .filter((card) => words.every((word) => text(card.id, card.type, card.zone).includes(word)))
          .sort((a, b) => rank(a.id) - rank(b.id));
      }}
      keyOf={(card) => card.id}
      pick={(card) => goTo(card.id)}
      close={() => useUi.setState({ finder: false })}
      empty="There is no node like"
    >
      {(card) => ({
        hue: categoryHue(card.spec?.category ?? ""),
        body: (
          <>
            <b>{titleOf(card.id)}</b>
            <span>
              {titleOf(card.type)}
              {card.zone ? ` · in ${titleOf(card.zone)}` : ""}
            </span>
          </>
        ),
      })}
    </Chooser>
  );
}
