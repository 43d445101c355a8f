/** What is asked for each run: a menu beside the run button, few things at sight and the rest folded. */
import { ChevronDown, RotateCcw } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import type { About } from "../server/types";
import {
  askPlainly,
  askedInWords,
  MOST_TIMES,
  setOption,
  useAsking,
  type OptionValue,
} from "../state/runOptions";
import { useRuns } from "../state/runs";
import { say } from "../state/ui";

type Option = About["options"][number];

export function RunMenu() {
  const [open, setOpen] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const words = askedInWords(useAsking());
  useEffect(() => {
    if (!open) return;
    box.current?.querySelector<HTMLElement>("select, input")?.focus();
    const away = (event: PointerEvent) => {
      if (!box.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener("pointerdown", away);
    return () => document.removeEventListener("pointerdown", away);
  }, [open]);
  return (
    <div
      className="run-menu"
      ref={box}
      onKeyDown={(event) => {
        if (event.key !== "Escape" || !open) return;
        event.stopPropagation();
        setOpen(false);
        box.current?.querySelector("button")?.focus();
      }}
    >
      <button
        className={`run-menu-button${words.length > 0 ? " asks" : ""}`}
        aria-label="Options of a run"
        aria-expanded={open}
        data-tip={`text|${words.length > 0 ? `Runs with ${words.join(", ")}` : "Options of a run: device, precision, seed, how often"}`}
        onClick={() => setOpen(!open)}
      >
        <ChevronDown size={14} aria-hidden />
      </button>
      {open ? <Asked /> : null}
    </div>
  );
}

function Asked() {
  const options = useRuns((state) => state.about?.options ?? []);
  const { seed, times, fresh, notify } = useAsking();
  const folded = options.filter((option) => option.folded);
  const set = useAsking((state) => folded.filter(({ name }) => name in state.options).length);
  return (
    <div className="run-asked" role="group" aria-label="Options of a run">
      {options
        .filter((option) => !option.folded)
        .map((option) => (
          <OptionRow key={option.name} option={option} />
        ))}
      <label className="run-row-option">
        <span>Seed</span>
        <input
          type="number"
          min={0}
          max={Number.MAX_SAFE_INTEGER}
          aria-label="Seed of the run"
          data-tip="text|Each node's own seed comes on top"
          value={seed}
          onChange={(event) =>
            useAsking.setState({ seed: Math.max(0, Math.round(event.target.valueAsNumber) || 0) })
          }
        />
      </label>
      <label className="run-row-option">
        <span>Times</span>
        <input
          type="number"
          min={1}
          max={MOST_TIMES}
          aria-label="How many runs"
          data-tip="text|So many runs, each with the next seed of the run"
          value={times}
          onChange={(event) =>
            useAsking.setState({
              times: Math.min(MOST_TIMES, Math.max(1, Math.round(event.target.valueAsNumber) || 1)),
            })
          }
        />
      </label>
      <label className="run-row-option" data-tip="text|Take nothing from caches and checkpoints">
        <span>Fresh</span>
        <input
          type="checkbox"
          checked={fresh}
          onChange={(event) => useAsking.setState({ fresh: event.target.checked })}
        />
      </label>
      <label className="run-row-option" data-tip="text|By the browser, when this page is not looked at">
        <span>Notify when done</span>
        <input
          type="checkbox"
          checked={notify}
          onChange={(event) => void askToNotify(event.target.checked)}
        />
      </label>
      <details open={set > 0}>
        <summary>More{set > 0 ? ` (${set} set)` : ""}</summary>
        {folded.map((option) => (
          <OptionRow key={option.name} option={option} />
        ))}
      </details>
      <button className="small-button" onClick={askPlainly}>
        <RotateCcw size={12} aria-hidden /> As the server was started
      </button>
    </div>
  );
}

function OptionRow({ option }: { option: Option }) {
  const value = useAsking((state) => state.options[option.name]);
  const label = option.name.replaceAll("_", " ");
  const standing = option.default === null ? "default" : shown(option.default);
  const shared = { "aria-label": `${label} of the run`, "data-tip": `text|${option.help}` };
  const take = (text: string) => setOption(option.name, text === "" ? undefined : read(option, text));
  const choices = option.kind === "flag" ? ["on", "off"] : option.choices;
  return (
    <label className={`run-row-option${value === undefined ? "" : " set"}`}>
      <span>{label}</span>
      {choices.length > 0 ? (
        <select
          {...shared}
          value={value === undefined ? "" : shown(value)}
          onChange={(event) => take(event.target.value)}
        >
          <option value="">{standing}</option>
          {choices
            .filter((choice) => choice !== standing)
            .map((choice) => (
              <option key={choice}>{choice}</option>
            ))}
        </select>
      ) : (
        <input
          {...shared}
          type={option.kind === "number" ? "number" : "text"}
          placeholder={standing}
          value={value === undefined ? "" : String(value)}
          onChange={(event) => take(event.target.value)}
        />
      )}
    </label>
  );
}

const shown = (value: OptionValue): string =>
  typeof value === "boolean" ? (value ? "on" : "off") : String(value);

const read = (option: Option, text: string): OptionValue =>
  option.kind === "flag" ? text === "on" : option.kind === "number" ? Number(text) : text;

/** Ask the browser once whether it lets the page notify. */
async function askToNotify(wanted: boolean): Promise<void> {
  if (!wanted || !("Notification" in window)) {
    useAsking.setState({ notify: false });
    if (wanted) say("This browser shows no notifications here: they need https, or this machine", "bad");
    return;
  }
  const allowed = await Notification.requestPermission();
  useAsking.setState({ notify: allowed === "granted" });
  if (allowed !== "granted") say("The browser was told to show no notifications of this page", "bad");
}
