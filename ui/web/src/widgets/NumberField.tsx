/** A number: drag to change, click to type (a calculation too), arrows to step; a bar where it is bounded. */
import { useRef, useState, type KeyboardEvent, type PointerEvent } from "react";
import { digitsOf, equal, numberOf } from "../document/json";
import { brief, niceStep, toStep } from "../drawing/rounding";
import { say } from "../state/ui";
import type { FieldProps } from "./field";
import { readTyped } from "./typed";

interface Props extends FieldProps {
  integer: boolean;
  min: number;
  max: number;
  slider: boolean;
}

interface Drag {
  readonly x: number;
  readonly y: number;
  readonly from: number;
  readonly id: string;
  readonly width: number;
  moved: boolean;
}

const DRAG_STARTS = 3; // pixels
const TOUCH_STARTS = 16; // so far a finger that means to scroll may go aside before the browser takes it
const DRAG_PACE = 6; // pixels a step

/** A step that suits a value: 1 for whole numbers, a tenth of its first digit for others. */
export function stepOf(value: number, integer: boolean): number {
  if (integer) return Math.abs(value) >= 1000 ? 10 ** (Math.floor(Math.log10(Math.abs(value))) - 2) : 1;
  return value === 0 ? 0.01 : 10 ** (Math.floor(Math.log10(Math.abs(value))) - 1);
}

/** With Ctrl a key is not for the field: Ctrl Enter runs. */
const combined = (event: KeyboardEvent): boolean => event.ctrlKey || event.metaKey;

/** Without the noise of binary fractions: 0.1 + 0.2 is 0.3. */
const tidy = (value: number, integer: boolean): number =>
  integer ? Math.round(value) : Number(value.toPrecision(7));

export function NumberField({
  label,
  name,
  tip,
  value,
  isSet,
  nullable,
  change,
  integer,
  min,
  max,
  slider,
}: Props) {
  const [typing, setTyping] = useState<string | null>(null);
  const [wrong, setWrong] = useState(false);
  const drag = useRef<Drag | null>(null);
  const current = numberOf(value);
  const clamp = (wanted: number) => tidy(Math.min(max, Math.max(min, wanted)), integer);

  const down = (event: PointerEvent<HTMLDivElement>) => {
    if (event.button !== 0 || typing !== null) return;
    event.currentTarget.setPointerCapture(event.pointerId);
    const width = event.currentTarget.getBoundingClientRect().width;
    const from = current ?? (Number.isFinite(min) ? min : 0);
    drag.current = {
      x: event.clientX,
      y: event.clientY,
      from,
      moved: false,
      id: `drag ${event.timeStamp}`,
      width,
    };
  };
  const move = (event: PointerEvent<HTMLDivElement>) => {
    const held = drag.current;
    if (!held) return;
    const distance = event.clientX - held.x;
    const starts = event.pointerType === "touch" ? TOUCH_STARTS : DRAG_STARTS;
    if (!held.moved && Math.abs(distance) < starts) return;
    held.moved = true;
    const fine = event.shiftKey ? 0.1 : event.ctrlKey ? 10 : 1;
    // What a hand can aim at: no finer than a pixel of the slider, or than the step that suits the value.
    const pixel = slider
      ? ((max - min) / held.width) * fine
      : (stepOf(held.from, integer) * fine) / DRAG_PACE;
    const step = niceStep(slider ? pixel : pixel * DRAG_PACE);
    const wanted = slider
      ? held.from + distance * pixel
      : held.from + Math.round(distance / DRAG_PACE) * step;
    change(clamp(toStep(wanted, integer ? Math.max(1, step) : step)), held.id);
  };
  const up = (event: PointerEvent) => {
    const held = drag.current;
    drag.current = null;
    const isSwipe = event.pointerType === "touch" && Math.abs(event.clientY - (held?.y ?? 0)) >= TOUCH_STARTS;
    if (held && !held.moved && !isSwipe) setTyping(digitsOf(value));
  };
  /** The finger scrolls instead. */
  const cancel = () => {
    drag.current = null;
  };
  const keys = (event: KeyboardEvent<HTMLDivElement>) => {
    const steps = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 10, PageDown: -10 }[
      event.key
    ];
    if (steps !== undefined) {
      const from = current ?? (Number.isFinite(min) ? min : 0);
      change(clamp(from + steps * stepOf(from, integer)), "keys");
    } else if ((event.key === "Enter" && !combined(event)) || event.key === "F2") setTyping(digitsOf(value));
    else if (/^[-\d.(]$/.test(event.key) && !combined(event)) setTyping(event.key);
    else if (event.key === "Backspace" || event.key === "Delete") change(undefined);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  /** Take what was typed, if it is a number. What is none is told, and stays there to be mended while the field is open. */
  const finish = (text: string, leaves: boolean): boolean => {
    const clean = text.trim();
    try {
      const typed = clean === "" || clean === digitsOf(value) ? undefined : readTyped(clean, integer);
      setTyping(null);
      setWrong(false);
      if (clean === "" && nullable) change(null);
      else if (clean === "" && isSet) change(undefined);
      else if (typed !== undefined && !equal(typed, value)) change(typed);
      return true;
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      if (leaves) setTyping(null);
      setWrong(!leaves);
      say(`${label}: ${error.message}`, "bad");
      return false;
    }
  };

  if (typing !== null) {
    return (
      <label className={`field number nodrag nowheel typing${wrong ? " bad" : ""}`}>
        <span className="field-label">{label}</span>
        <input
          className="field-input"
          aria-label={name}
          autoFocus
          aria-invalid={wrong}
          placeholder="2*16, 1/3, …"
          spellCheck={false}
          defaultValue={typing}
          onFocus={(event) => typing.length > 1 && event.target.select()}
          onChange={() => setWrong(false)}
          onBlur={(event) => finish(event.target.value, true)}
          onKeyDown={(event) => {
            const taken = event.key !== "Enter" || finish(event.currentTarget.value, false);
            if (!combined(event) || !taken) event.stopPropagation();
            if (event.key === "Escape") {
              setTyping(null);
              setWrong(false);
            }
          }}
        />
      </label>
    );
  }
  const share =
    slider && current !== null ? (Math.min(max, Math.max(min, current)) - min) / (max - min || 1) : 0;
  return (
    <div
      className={`field number nodrag${slider ? " slider" : ""}${isSet ? " set" : ""}`}
      role={slider ? "slider" : "spinbutton"}
      tabIndex={0}
      aria-label={name}
      aria-valuenow={current ?? 0}
      aria-valuetext={current === null ? "none" : digitsOf(value)}
      {...(Number.isFinite(min) ? { "aria-valuemin": min } : {})}
      {...(Number.isFinite(max) ? { "aria-valuemax": max } : {})}
      data-tip={tip}
      style={slider ? ({ "--share": share } as React.CSSProperties) : undefined}
      onPointerDown={down}
      onPointerMove={move}
      onPointerUp={up}
      onPointerCancel={cancel}
      onKeyDown={keys}
    >
      <span className="field-label">{label}</span>
      <span className="field-value">{shown(value, current, nullable)}</span>
    </div>
  );
}

function shown(value: unknown, current: number | null, nullable: boolean): string {
  if (current === null) return typeof value === "string" ? value : nullable ? "none" : "–";
  const digits = digitsOf(value);
  return digits.length > 8 && !/^-?\d+$/.test(digits) ? brief(current) : digits;
}
