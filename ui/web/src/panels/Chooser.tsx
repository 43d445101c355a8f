/** A list found by typing and chosen by keyboard or mouse: what the palette, the connector and the finder are. */
import { Search } from "lucide-react";
import { useEffect, useId, useMemo, useRef, useState, type CSSProperties, type ReactNode } from "react";

interface Props<T> {
  label: string;
  placeholder: string;
  /** What is found for a text. */
  find: (query: string) => readonly T[];
  keyOf: (item: T) => string;
  children: (item: T, index: number, query: string) => { head?: string; hue?: number; body: ReactNode };
  pick: (item: T) => void;
  close: () => void;
  empty: string;
  /** Where it stands; in the middle of the page where that is not given. */
  style?: CSSProperties;
  mark?: ReactNode;
}

export function Chooser<T>(props: Props<T>) {
  const { label, placeholder, find, keyOf, children, pick, close, empty, style, mark } = props;
  const [query, setQuery] = useState("");
  const [chosen, setChosen] = useState(0);
  const list = useRef<HTMLUListElement>(null);
  const id = useId();
  const found = useMemo(() => find(query), [find, query]); // moving over the list finds nothing else
  useEffect(() => {
    list.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  }, [chosen, query]);
  const take = (item: T | undefined) => {
    if (item === undefined) return;
    close();
    pick(item);
  };
  const press = (event: React.KeyboardEvent) => {
    event.stopPropagation();
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8, Tab: event.shiftKey ? -1 : 1 }[
      event.key
    ];
    if (step !== undefined) setChosen(Math.max(0, Math.min(found.length - 1, chosen + step)));
    else if (event.key === "Enter") take(found[chosen]);
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
  };
  return (
    <>
      <div className={style ? "veil clear" : "veil"} onPointerDown={close} />
      <div className={style ? "palette" : "palette centred"} style={style} role="dialog" aria-label={label}>
        <label className="palette-query">
          <Search size={14} aria-hidden />
          <input
            autoFocus
            role="combobox"
            aria-expanded="true"
            aria-controls={`${id}list`}
            aria-activedescendant={found.length > chosen ? `${id}${chosen}` : undefined}
            aria-label={label}
            placeholder={placeholder}
            value={query}
            onChange={(event) => {
              setQuery(event.target.value);
              setChosen(0);
            }}
            onKeyDown={press}
          />
          {mark}
        </label>
        <ul ref={list} id={`${id}list`} role="listbox" aria-label={label}>
          {found.map((item, i) => {
            const { head, hue, body } = children(item, i, query);
            return [
              head ? (
                <li key={`head ${head}`} className="palette-head" role="presentation">
                  {head}
                </li>
              ) : null,
              <li
                key={keyOf(item)}
                id={`${id}${i}`}
                role="option"
                aria-selected={i === chosen}
                className="palette-item"
                style={hue === undefined ? undefined : ({ "--hue": hue } as CSSProperties)}
                onPointerMove={() => i !== chosen && setChosen(i)}
                onClick={() => take(item)}
              >
                {hue === undefined ? null : <i className="dot" />}
                {body}
              </li>,
            ];
          })}
          {found.length === 0 ? <li className="empty">{query ? `${empty} “${query}”` : empty}</li> : null}
        </ul>
      </div>
    </>
  );
}
