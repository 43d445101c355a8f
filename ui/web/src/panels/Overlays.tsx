/** Menus, messages and hints that float above the page. */
import { X } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { keysFor } from "../canvas/shortcuts";
import { sourceOf } from "../document/references";
import type { InSlot } from "../document/slots";
import { slotAt } from "../document/rules";
import { saying } from "../document/types";
import { wireColour } from "../drawing/colours";
import { useEditor } from "../state/editor";
import { shapeOf, useEstimate } from "../state/estimate";
import { dismiss, useUi } from "../state/ui";
import { tr } from "../strings";
import { inside } from "./place";
import { rangeOf } from "./range";

export function Menu() {
  const menu = useUi((state) => state.menu);
  const list = useRef<HTMLUListElement>(null);
  const close = () => useUi.setState({ menu: null });
  useEffect(() => {
    if (menu) list.current?.querySelector<HTMLElement>("button:not(:disabled)")?.focus();
  }, [menu]);
  if (!menu) return null;
  const step = (by: number) => {
    const buttons = [...(list.current?.querySelectorAll<HTMLElement>("button:not(:disabled)") ?? [])];
    const now = buttons.findIndex((button) => button === document.activeElement);
    buttons[(now + by + buttons.length) % buttons.length]?.focus();
  };
  return (
    <>
      <div className="veil clear" onPointerDown={close} onContextMenu={(event) => event.preventDefault()} />
      <ul
        ref={list}
        className="menu"
        role="menu"
        style={inside(menu.at, [220, menu.items.length * 26 + 12])}
        onKeyDown={(event) => {
          event.stopPropagation();
          if (event.key === "Escape") close();
          else if (event.key === "ArrowDown") step(1);
          else if (event.key === "ArrowUp") step(-1);
          else return;
          event.preventDefault();
        }}
      >
        {menu.items.map((item, i) =>
          item === null ? (
            <li key={`line ${i}`} className="menu-line" role="separator" />
          ) : (
            <li key={item.label} role="none">
              <button
                role="menuitem"
                className={item.danger ? "danger" : ""}
                disabled={item.disabled ?? false}
                onClick={() => {
                  close();
                  item.run?.();
                }}
              >
                {item.swatch ? <i className="menu-swatch" style={{ background: item.swatch }} /> : null}
                {tr(item.label)}
                <Keys keys={item.shortcut === undefined ? item.keys : keysFor(item.shortcut)} />
              </button>
            </li>
          ),
        )}
      </ul>
    </>
  );
}

const Keys = ({ keys }: { keys: string | undefined }) => (keys ? <kbd>{keys}</kbd> : null);

export function Toasts() {
  const toasts = useUi((state) => state.toasts);
  return (
    <div className="toasts" role="status" aria-live="polite">
      {toasts.map((toast) => (
        <div key={toast.id} className={`toast ${toast.tone}`}>
          <span>{tr(toast.text)}</span>
          {toast.action ? (
            <button
              className="small-button"
              onClick={() => {
                dismiss(toast.id);
                toast.action?.run();
              }}
            >
              {toast.action.label}
            </button>
          ) : null}
          <button className="field-button" aria-label="Close" onClick={() => dismiss(toast.id)}>
            <X size={12} />
          </button>
        </div>
      ))}
    </div>
  );
}

interface Hint {
  key: string;
  shortcut: string;
  at: [number, number];
}

/** Hints are asked for by `data-tip="kind|…"` anywhere on the page; a `data-shortcut` beside it names the shortcut whose keys are told. */
export function Hints() {
  const [hint, setHint] = useState<Hint | null>(null);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const over = (event: PointerEvent) => {
      const found = (event.target as Element).closest<HTMLElement>("[data-tip]");
      clearTimeout(timer);
      if (!found || event.buttons !== 0) {
        setHint(null);
        return;
      }
      const { tip: key = "", shortcut = "" } = found.dataset;
      const box = found.getBoundingClientRect();
      timer = setTimeout(() => setHint({ key, shortcut, at: [box.left, box.bottom + 6] }), 380);
    };
    const hide = () => {
      clearTimeout(timer);
      setHint(null);
    };
    document.addEventListener("pointerover", over);
    document.addEventListener("pointerdown", hide);
    document.addEventListener("wheel", hide, { passive: true });
    return () => {
      clearTimeout(timer);
      document.removeEventListener("pointerover", over);
      document.removeEventListener("pointerdown", hide);
      document.removeEventListener("wheel", hide);
    };
  }, []);
  if (!hint) return null;
  const [kind, ...rest] = hint.key.split("|");
  return (
    <div className="hint" role="tooltip" style={inside(hint.at, [280, 120])}>
      {kind === "text" ? (
        <p>
          {tr(rest.join("|"))} <Keys keys={keysFor(hint.shortcut)} />
        </p>
      ) : kind === "node" ? (
        <NodeHint id={rest[0] ?? ""} />
      ) : (
        <PortHint node={rest[0] ?? ""} handle={rest[1] ?? ""} />
      )}
    </div>
  );
}

function NodeHint({ id }: { id: string }) {
  const spec = useEditor((state) => state.cards[id]?.spec);
  if (!spec) return null;
  return (
    <>
      <p className="hint-head">
        <b>{spec.type}</b> <span>{spec.category}</span>
      </p>
      <p>{spec.summary}</p>
    </>
  );
}

function PortHint({ node, handle }: { node: string; handle: string }) {
  const kinds = useEditor((state) => state.kinds);
  const card = useEditor((state) => state.cards[node]);
  const doc = useEditor((state) => state.doc);
  const estimate = useEstimate();
  if (!card) return null;
  const slot =
    slotAt(doc, kinds, node, handle) ?? [...card.outputs, ...card.inner].find((own) => own.handle === handle);
  if (!slot) return null;
  const type = kinds.catalog.types[slot.kind.name];
  const shape = slot.port.shape || type?.shape || "";
  const gives = /^(out|inner):/.test(handle);
  const found = shapeOf(estimate, doc, gives ? sourceOf(node, handle) : (slot as InSlot).source);
  const range = slot.port.schema ? rangeOf(slot.port.schema) : "";
  return (
    <>
      <p className="hint-head">
        <i className="dot" style={{ background: wireColour(kinds.catalog, slot.kind.name) }} />
        <b>{slot.label}</b> <span>{saying(slot.kind)}</span>
        {shape ? <code>{shape}</code> : null}
        {found ? <code className="found">{found}</code> : null}
      </p>
      {slot.port.help ? <p>{slot.port.help}</p> : type?.about ? <p>{type.about}</p> : null}
      {range ? <p className="hint-range">{range}</p> : null}
      {"ref" in slot && typeof slot.ref === "string" ? (
        <p className="hint-range">
          from <code>{slot.ref}</code>
        </p>
      ) : null}
    </>
  );
}
