/**
 * The graph as a picture of its own: an SVG made of what the drawing knows, the same whatever part of it is on the screen.
 *
 * It holds shapes and letters alone (no HTML in it), so that every program for vector graphics opens it.
 */
import { titleOf, type Card } from "../document/cards";
import { depth, type Id, type Place } from "../document/document";
import type { Catalog } from "../server/types";
import { categoryHue, wireColour } from "./colours";
import {
  absolute,
  handleSpots,
  HEADER,
  hiddenIn,
  linesOf,
  PADDING,
  railRight,
  RAIL_LEFT,
  sizesOf,
  type Line,
  type Point,
  type Sheet,
  type Size,
} from "./geometry";
import { paintOf } from "./paint";
import { inWords } from "./telling";
import { boundsOf, edgesOf } from "./view";

const MARGIN = 32;
const LETTER = 6; // pixels that a letter of 11 pixels takes, about

export interface Look {
  readonly catalog: Catalog;
  /** What a colour of the page's theme is, in hexadecimal digits: no other program knows its names. */
  readonly colour: (css: string) => string;
}

/** A picture of some nodes and drawings, with what is in the zones among them; of everything where `ids` is null. */
export function svgOf(sheet: Sheet, look: Look, ids: readonly Id[] | null): string {
  const shown = shownOf(sheet, ids);
  const cards = Object.values(sheet.cards).filter(({ id }) => shown.has(id));
  const drawings = Object.entries(sheet.doc.places).filter(([id]) => shown.has(id) && !(id in sheet.cards));
  if (cards.length + drawings.length === 0) throw new Error("There is nothing to draw");
  const box = boundsOf(sheet, [...shown]);
  const pen = new Pen(sheet, look);
  const [x, y] = [Math.floor(box.x - MARGIN), Math.floor(box.y - MARGIN)];
  const [width, height] = [Math.ceil(box.width + 2 * MARGIN), Math.ceil(box.height + 2 * MARGIN)];
  const inDepth = cards.toSorted((a, b) => depth(sheet.doc, a.id) - depth(sheet.doc, b.id));
  const zones = inDepth.filter((card) => card.isZone && !card.collapsed);
  const parts = [
    pen.rect([x, y], [width, height], "var(--sheet)"),
    ...drawings.filter(([, { kind }]) => kind === "frame").map(([, spot]) => pen.frame(spot)),
    ...zones.map((card) => pen.zone(card)),
    ...pen.wires(shown),
    ...inDepth.filter((card) => !zones.includes(card)).map((card) => pen.card(card)),
    ...drawings.filter(([, { kind }]) => kind === "note").map(([, spot]) => pen.note(spot)),
  ];
  const name = sheet.doc.title ? `<title>${escaped(sheet.doc.title)}</title>` : "";
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="${x} ${y} ${width} ${height}" width="${width}" height="${height}"` +
    ` font-family="Inter, system-ui, sans-serif" font-size="11">${name}${parts.join("")}</svg>`
  );
}

/** What is drawn, hidden insides of folded zones left out. */
function shownOf(sheet: Sheet, ids: readonly Id[] | null): Set<Id> {
  const wanted = ids === null ? null : new Set(ids);
  const chosen = (id: Id): boolean => {
    if (wanted === null || wanted.has(id)) return true;
    for (
      let zone = sheet.doc.nodes[id]?.zone ?? null;
      zone !== null;
      zone = sheet.doc.nodes[zone]?.zone ?? null
    )
      if (wanted.has(zone)) return true;
    return false;
  };
  const all = [...Object.keys(sheet.cards), ...Object.keys(sheet.doc.places)];
  return new Set(all.filter((id) => chosen(id) && hiddenIn(sheet, id) === null));
}

/** Text as XML may hold it. */
const escaped = (text: string): string =>
  Array.from(text)
    .filter((letter) => letter >= " " && !/[\ud800-\udfff\ufffe\uffff]/u.test(letter))
    .join("")
    .replace(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`);

const cut = (text: string, width: number): string => {
  const letters = Array.from(text);
  const most = Math.max(1, Math.floor(width / LETTER));
  return letters.length > most ? `${letters.slice(0, most - 1).join("")}…` : text;
};

class Pen {
  private readonly sizes: ReadonlyMap<Id, Size>;

  constructor(
    private readonly sheet: Sheet,
    private readonly look: Look,
  ) {
    this.sizes = sizesOf(sheet);
  }

  rect([x, y]: Point, [width, height]: Size, fill: string, more = ""): string {
    return `<rect x="${x}" y="${y}" width="${width}" height="${height}" fill="${this.look.colour(fill)}" ${more}/>`;
  }

  private text([x, y]: Point, text: string, colour: string, more = ""): string {
    return `<text x="${x}" y="${y}" fill="${this.look.colour(colour)}" ${more}>${escaped(text)}</text>`;
  }

  private stroke(colour: string, width = 1): string {
    return `stroke="${this.look.colour(colour)}" stroke-width="${width}"`;
  }

  private sizeOf(card: Card): Size {
    return this.sizes.get(card.id) ?? [0, 0];
  }

  private own(card: Card): string {
    const hue = categoryHue(card.spec?.category ?? "");
    return paintOf(card.colour) ?? `oklch(var(--zone-l) 0.1 ${hue})`;
  }

  frame({ at, size = [400, 300], colour, text }: Place): string {
    const paint = paintOf(colour) ?? "var(--text-3)";
    return (
      this.rect(at, size, paint, `fill-opacity="0.08" rx="10" ${this.stroke(paint)}`) +
      this.text([at[0] + 12, at[1] + 22], cut(text?.trim() ? text : "Frame", size[0]), "var(--text)", BIG)
    );
  }

  note({ at, size = [220, 120], colour, text = "" }: Place): string {
    const paint = paintOf(colour) ?? "var(--warn)";
    const lines = text.split("\n").flatMap((line) => wrapped(line, size[0] - 24));
    const room = Math.max(1, Math.floor((size[1] - 16) / 16));
    return (
      this.rect(at, size, "var(--card)", `rx="7" ${this.stroke(paint)}`) +
      lines
        .slice(0, room)
        .map((line, i) => this.text([at[0] + 12, at[1] + 22 + 16 * i], line, "var(--text)"))
        .join("")
    );
  }

  zone(card: Card): string {
    const [at, size] = [absolute(this.sheet, card.id), this.sizeOf(card)];
    const own = this.own(card);
    return [
      this.rect(at, size, own, `fill-opacity="0.07" rx="9" ${this.stroke(own)}`),
      this.head(card, at, size[0]),
      this.lines(at, linesOf(card.inputs, card.inner), RAIL_LEFT),
      this.lines(
        [at[0] + size[0] - railRight(card), at[1]],
        linesOf(card.results, card.outputs),
        railRight(card),
      ),
    ].join("");
  }

  card(card: Card): string {
    const [at, size] = [absolute(this.sheet, card.id), this.sizeOf(card)];
    return [
      this.rect(at, size, "var(--card)", `rx="7" ${this.stroke("var(--line-strong)")}`),
      this.head(card, at, size[0]),
      card.collapsed ? "" : this.lines(at, linesOf(card.inputs, card.outputs), size[0]),
    ].join("");
  }

  private head(card: Card, [x, y]: Point, width: number): string {
    const name = titleOf(card.id);
    const type = titleOf(card.type);
    const room = width - 24;
    const left = room - (name.length + 2) * 6.6;
    return [
      this.rect([x + 7, y + 8], [3, 14], this.own(card), `rx="1.5"`),
      this.text([x + 16, y + 19], cut(name, room), "var(--text)", `font-weight="600" font-size="12"`),
      name === type || left < 30
        ? ""
        : this.text([x + width - 9, y + 19], cut(type, left), "var(--text-2)", `text-anchor="end"`),
    ].join("");
  }

  /** The ports and values of a card, or of one rail of a zone. */
  private lines([x, y]: Point, lines: readonly Line[], width: number): string {
    let top = y + HEADER + PADDING;
    const drawn = lines.map(({ left, right, second, widget, height }) => {
      const middle = top + Math.min(height, 24) / 2 + 3;
      top += height;
      const values = [left, second].flatMap((slot) =>
        slot && widget ? [inWords(slot.value ?? slot.port.default)] : [],
      );
      const label = left ? (second ? `${left.label} × ${second.label}` : left.label) : "";
      return [
        label ? this.text([x + 12, middle], cut(label, width / 2), "var(--text-2)") : "",
        widget
          ? this.text(
              [x + width - 12, middle],
              cut(values.filter(Boolean).join(" × "), width - 30 - label.length * LETTER),
              "var(--text)",
              `text-anchor="end"`,
            )
          : "",
        right ? this.text([x + width - 12, middle], right.label, "var(--text-2)", `text-anchor="end"`) : "",
      ].join("");
    });
    return drawn.join("");
  }

  /** Wires between what is shown, and the dots where they begin and end. */
  wires(shown: ReadonlySet<Id>): string[] {
    return edgesOf(this.sheet, []).flatMap((edge) => {
      if (!shown.has(edge.source) || !shown.has(edge.target)) return [];
      const from = this.spot(edge.source, edge.sourceHandle ?? "", "source");
      const to = this.spot(edge.target, edge.targetHandle ?? "", "target");
      if (!from || !to) return [];
      const through = (edge.data?.through ?? []).map((id): Point => {
        const [x, y] = absolute(this.sheet, id);
        return [x + 6, y + 6];
      });
      const colour = wireColour(this.look.catalog, edge.data?.kind ?? "any");
      const points = [from, ...through, to];
      const path = points.slice(1).map((point, i) => curve(points[i] ?? from, point));
      const dots = [from, to].map(
        ([x, y]) => `<circle cx="${x}" cy="${y}" r="4" fill="${this.look.colour(colour)}"/>`,
      );
      return [`<path d="${path.join(" ")}" fill="none" ${this.stroke(colour, 2)}/>`, ...dots];
    });
  }

  private spot(id: Id, handle: string, type: "source" | "target"): Point | null {
    const card = this.sheet.cards[id];
    const [x, y] = absolute(this.sheet, id);
    const found = card && handleSpots(card, this.sizes.get(id)?.[0] ?? 0);
    const spot = found?.find((own) => own.handle === handle && own.type === type);
    return spot ? [x + spot.x, y + spot.y] : null;
  }
}

const BIG = `font-weight="600" font-size="14"`;

function curve([x, y]: Point, [toX, toY]: Point): string {
  const reach = Math.max(30, Math.abs(toX - x) / 2);
  return `M${x} ${y}C${x + reach} ${y} ${toX - reach} ${toY} ${toX} ${toY}`;
}

/** A text in lines that fit a width, broken between words. */
function wrapped(text: string, width: number): string[] {
  const most = Math.max(4, Math.floor(width / LETTER));
  const lines: string[] = [""];
  for (const word of text.split(" ")) {
    const last = lines.at(-1) ?? "";
    if (last !== "" && last.length + word.length + 1 > most) lines.push(word);
    else lines[lines.length - 1] = last === "" ? word : `${last} ${word}`;
  }
  return lines.map((line) => cut(line, width));
}
