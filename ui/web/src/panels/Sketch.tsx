/** A workflow in miniature, for one that has no picture yet: its nodes and zones as the automatic layout places them. */
import { useEffect, useRef, useState } from "react";
import { categoryHue } from "../drawing/colours";
import { absolute, sizesOf } from "../drawing/geometry";
import { fillIn } from "../drawing/layout";
import { cardsOf } from "../document/cards";
import { read } from "../document/codec";
import { depth } from "../document/document";
import { Kinds } from "../document/types";
import { api } from "../server/api";
import type { Catalog } from "../server/types";
import { useEditor } from "../state/editor";

interface Box {
  id: string;
  x: number;
  y: number;
  width: number;
  height: number;
  hue: number;
  zone: boolean;
}

const drawn = new Map<string, Box[]>();

export function boxesOf(text: string, catalog: Catalog): Box[] {
  const { doc } = read(text);
  const cards = cardsOf(doc, new Kinds(catalog), {});
  const sheet = { doc, cards, auto: fillIn(doc, cards, {}), measured: {} };
  const sizes = sizesOf(sheet);
  return Object.values(cards)
    .sort((a, b) => depth(doc, a.id) - depth(doc, b.id))
    .map((card) => {
      const [x, y] = absolute(sheet, card.id);
      const [width, height] = sizes.get(card.id) ?? [0, 0];
      const hue = categoryHue(card.spec?.category ?? "");
      return { id: card.id, x, y, width, height, hue, zone: card.isZone && !card.collapsed };
    });
}

export function Sketch({ path, modified }: { path: string; modified: number }) {
  const catalog = useEditor((state) => state.catalog);
  const key = `${path} ${modified}`;
  const [boxes, setBoxes] = useState<Box[]>(() => drawn.get(key) ?? []);
  const host = useRef<SVGSVGElement>(null);
  useEffect(() => {
    const svg = host.current;
    if (!svg || drawn.has(key)) return;
    let current = true;
    const seen = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      seen.disconnect();
      api.open(path).then(
        ({ text }) => {
          drawn.set(key, boxesOf(text, catalog));
          if (current) setBoxes(drawn.get(key) ?? []);
        },
        () => undefined, // the list says itself what cannot be opened
      );
    });
    seen.observe(svg);
    return () => {
      current = false;
      seen.disconnect();
    };
  }, [key, path, catalog]);
  const left = Math.min(0, ...boxes.map((box) => box.x));
  const top = Math.min(0, ...boxes.map((box) => box.y));
  const right = Math.max(1, ...boxes.map((box) => box.x + box.width));
  const bottom = Math.max(1, ...boxes.map((box) => box.y + box.height));
  return (
    <svg ref={host} className="graph" viewBox={`${left} ${top} ${right - left} ${bottom - top}`} aria-hidden>
      {boxes.map((box) => (
        <rect
          key={box.id}
          x={box.x}
          y={box.y}
          width={box.width}
          height={box.height}
          rx={box.zone ? 24 : 16}
          fill={`oklch(var(--zone-l) ${box.zone ? 0.08 : 0.1} ${box.hue})`}
          fillOpacity={box.zone ? 0.16 : 0.75}
        />
      ))}
    </svg>
  );
}
