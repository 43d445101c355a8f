/** A sweep over a parameter: which values, as a range, a list, or some of its choices. */
import { useState } from "react";
import { frameNodes } from "../state/flow";
import { sweepOver } from "../commands";
import { numberOf, print, type Json } from "../document/json";
import { begin, list, MOST_VALUES, range } from "../document/sweep";
import { widgetOf } from "../document/widgets";
import { slotAt } from "../document/rules";
import { useEditor } from "../state/editor";
import { openDialog, useUi } from "../state/ui";
import { Frame } from "./Frame";

export function SweepDialog() {
  const at = useUi((state) => state.sweep);
  const { doc, kinds } = useEditor.getState();
  const slot = at && slotAt(doc, kinds, at.node, at.handle);
  if (!slot) return null;
  const { widget } = widgetOf(slot.port);
  const value = slot.value ?? (slot.port.default as Json | undefined);
  const draw = (values: readonly Json[]) => {
    openDialog(null);
    const zone = sweepOver(at.node, at.handle, values);
    if (zone !== null) requestAnimationFrame(() => frameNodes([zone]));
  };
  return (
    <Frame title={`Sweep over ${slot.label}`}>
      {widget.kind === "choice" ? (
        <Choices choices={widget.choices as Json[]} draw={draw} />
      ) : widget.kind === "toggle" ? (
        <Choices choices={[true, false]} draw={draw} />
      ) : widget.kind === "number" ? (
        <Numbers
          integer={widget.integer}
          value={value}
          min={widget.min ?? -Infinity}
          max={widget.max ?? Infinity}
          draw={draw}
        />
      ) : widget.kind === "seed" ? (
        <Numbers integer value={value} min={0} max={Infinity} draw={draw} />
      ) : (
        <Listed numbers={false} value={value} draw={draw} />
      )}
    </Frame>
  );
}

type Draw = (values: readonly Json[]) => void;

function Numbers({
  integer,
  value,
  min,
  max,
  draw,
}: {
  integer: boolean;
  value: Json | undefined;
  min: number;
  max: number;
  draw: Draw;
}) {
  const now = numberOf(value) ?? 0;
  const [listed, setListed] = useState(false);
  const [from, setFrom] = useState(begin(value));
  const [to, setTo] = useState(String(Math.min(max, now === 0 ? 1 : now * 2)));
  const [count, setCount] = useState("4");
  const ends = [Number(from), Number(to)] as const;
  const values = range(ends[0], ends[1], Number(count) || 1, integer);
  const outside = ends.some((end) => !Number.isFinite(end) || end < min || end > max);
  return (
    <>
      <div className="sweep-kinds" role="group" aria-label="How the values are given">
        <button className={`small-button${listed ? "" : " on"}`} onClick={() => setListed(false)}>
          Range
        </button>
        <button className={`small-button${listed ? " on" : ""}`} onClick={() => setListed(true)}>
          List
        </button>
      </div>
      {listed ? (
        <Listed numbers value={value} draw={draw} />
      ) : (
        <form
          className="sweep-form"
          onSubmit={(event) => {
            event.preventDefault();
            if (!outside) draw(values);
          }}
        >
          <label>
            <span>From</span>
            <input data-focus inputMode="decimal" value={from} onChange={(e) => setFrom(e.target.value)} />
          </label>
          <label>
            <span>To</span>
            <input inputMode="decimal" value={to} onChange={(e) => setTo(e.target.value)} />
          </label>
          <label>
            <span>Values</span>
            <input
              type="number"
              min={2}
              max={MOST_VALUES}
              value={count}
              onChange={(e) => setCount(e.target.value)}
            />
          </label>
          <p className="sweep-values" aria-live="polite">
            {outside ? `From ${min} to ${max} is possible` : values.map((each) => print(each)).join(", ")}
          </p>
          <button className="run-button" type="submit" disabled={outside}>
            Draw the sweep
          </button>
        </form>
      )}
    </>
  );
}

function Listed({ numbers, value, draw }: { numbers: boolean; value: Json | undefined; draw: Draw }) {
  const [text, setText] = useState(typeof value === "string" ? value : begin(value));
  let values: Json[] = [];
  let wrong = "";
  try {
    values = list(text, numbers);
  } catch (error) {
    wrong = error instanceof Error ? error.message : String(error);
  }
  if (values.length > MOST_VALUES) wrong = `${values.length} values; at most ${MOST_VALUES} are drawn`;
  return (
    <form
      className="sweep-form"
      onSubmit={(event) => {
        event.preventDefault();
        if (!wrong && values.length > 0) draw(values);
      }}
    >
      <label>
        <span>Values, with commas between, or a JSON list</span>
        <input data-focus value={text} onChange={(event) => setText(event.target.value)} />
      </label>
      <p className="sweep-values" aria-live="polite">
        {wrong || `${values.length} values`}
      </p>
      <button className="run-button" type="submit" disabled={wrong !== "" || values.length === 0}>
        Draw the sweep
      </button>
    </form>
  );
}

function Choices({ choices, draw }: { choices: readonly Json[]; draw: Draw }) {
  const [chosen, setChosen] = useState<readonly Json[]>(choices);
  return (
    <form
      className="sweep-form"
      onSubmit={(event) => {
        event.preventDefault();
        draw(choices.filter((choice) => chosen.includes(choice)));
      }}
    >
      {choices.map((choice) => (
        <label key={print(choice)} className="sweep-choice">
          <input
            type="checkbox"
            checked={chosen.includes(choice)}
            onChange={(event) =>
              setChosen(event.target.checked ? [...chosen, choice] : chosen.filter((own) => own !== choice))
            }
          />
          <span>{typeof choice === "string" ? choice : print(choice)}</span>
        </label>
      ))}
      <button className="run-button" type="submit" disabled={chosen.length === 0}>
        Draw the sweep
      </button>
    </form>
  );
}
